"""Robust reducers that choose among whole updates by how far they lie apart."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need, Reducer
from tierwise.core.weights import Buffer
from tierwise.ext import mean_around_median
from tierwise.plugins.aggregation._attackers import Attackers
from tierwise.plugins.aggregation._surveys import mean_of, sq_distances

Distances = NDArray[np.float64]


class KrumOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `KrumReducer` and `MultiKrumReducer`.

    Attributes
    ----------
    attackers
        The share of a cohort's updates that may be wrong, rounded up to a number f. Krum needs at least 2 f + 3
        updates, so a smaller cohort is reduced with the largest f that it allows, and the log says so: of 3 or 4
        updates none may be wrong, of 5 one.
    """

    attackers: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.2


class BulyanOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `BulyanReducer`.

    Attributes
    ----------
    attackers
        The share of a cohort's updates that may be wrong, rounded up to a number f. Bulyan needs at least 4 f + 3
        updates, so a smaller cohort is reduced with the largest f that it allows, and the log says so: of fewer than 7
        updates none may be wrong, of fewer than 11 one.
    """

    attackers: Annotated[float, msgspec.Meta(ge=0, lt=0.25)] = 0.2


class KrumReducer:
    """Krum: the one update whose n - f - 2 nearest others are nearest to it; samples do not count.

    Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
    https://arxiv.org/abs/1703.02757, section 4: the sum of squared distances is least. Of two updates with the same sum
    it is the one that is nearer to all.
    """

    def __init__(self, options: KrumOptions) -> None:
        self._attackers = Attackers("krum", options.attackers, borne_by_krum)

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def survey(self, blocks: Iterable[Sequence[Buffer]], samples: NDArray[np.int64]) -> Reducer:
        """Measure the distances, and choose."""
        count = len(samples)
        return mean_of(ranked(sq_distances(blocks, count), self._attackers.among(count))[:1], count)


class MultiKrumReducer:
    """Multi-Krum: the mean of the n - f updates that Krum finds best; samples do not count.

    Blanchard et al. 2017, https://arxiv.org/abs/1703.02757, section 5, with m = n - f.
    """

    def __init__(self, options: KrumOptions) -> None:
        self._attackers = Attackers("multi-krum", options.attackers, borne_by_krum)

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def survey(self, blocks: Iterable[Sequence[Buffer]], samples: NDArray[np.int64]) -> Reducer:
        """Measure the distances, and choose."""
        count = len(samples)
        attackers = self._attackers.among(count)
        chosen = ranked(sq_distances(blocks, count), attackers)[: count - attackers]
        return mean_of(chosen, count)


class BulyanReducer:
    """Bulyan: Krum chooses n - 2 f updates; of each weight the n - 4 f values nearest to their median are averaged.

    So a wrong update that is near enough to be chosen cannot hide a large change of a few weights. Samples do not
    count.
    El Mhamdi et al. 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium",
    https://arxiv.org/abs/1802.07927, section 4.
    """

    def __init__(self, options: BulyanOptions) -> None:
        self._attackers = Attackers("bulyan", options.attackers, lambda count: (count - 3) // 4)

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def survey(self, blocks: Iterable[Sequence[Buffer]], samples: NDArray[np.int64]) -> Reducer:
        """Measure the distances, and choose one update after the other among those that are left."""
        count = len(samples)
        attackers = self._attackers.among(count)
        chosen = one_by_one(sq_distances(blocks, count), attackers, count - 2 * attackers)
        return _AroundMedian(sorted(chosen), count - 4 * attackers)


class _AroundMedian:
    """Averages what is nearest to the median, of some of the updates."""

    def __init__(self, chosen: Sequence[int], kept: int) -> None:
        self._chosen = chosen
        self._kept = kept

    @property
    def need(self) -> Need:
        return Need.INDIVIDUAL

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        del samples
        mean_around_median([updates[k] for k in self._chosen], out, kept=self._kept)


def borne_by_krum(count: int) -> int:
    """Return the largest f of which Krum's ``2 f + 3`` is no more than ``count``."""
    return (count - 3) // 2


def ranked(distances: Distances, attackers: int) -> NDArray[np.intp]:
    """Return the numbers of all updates, those first that Krum finds best.

    Parameters
    ----------
    distances
        Squared, shape ``(n, n)``.
    attackers
        Krum's f.
    """
    return _best_first(_neighbours(distances)[1], attackers)


def one_by_one(distances: Distances, attackers: int, wanted: int) -> list[int]:
    """Let Krum choose the best update, then the best of the others, until there are as many as wanted."""
    names, apart = _neighbours(distances)
    left = list(range(len(distances)))
    chosen: list[int] = []
    while len(chosen) < wanted:
        best = int(_best_first(apart, attackers)[0])
        chosen.append(left.pop(best))
        stays = names != chosen[-1]
        stays[best] = False
        shape = (len(left), max(len(left) - 1, 0))
        names, apart = names[stays].reshape(shape), apart[stays].reshape(shape)
    return chosen


def _neighbours(distances: Distances) -> tuple[NDArray[np.intp], Distances]:
    """Return of each update the numbers of all others, the nearest first, and their distances; ``(n, n - 1)`` both."""
    count = len(distances)
    nearest_first = np.argsort(distances, axis=1, kind="stable")
    names = nearest_first[nearest_first != np.arange(count)[:, None]].reshape(count, count - 1)
    return names, np.take_along_axis(distances, names, axis=1)


def _best_first(apart: Distances, attackers: int) -> NDArray[np.intp]:
    nearest = max(len(apart) - attackers - 2, 1)
    return np.lexsort((apart.sum(axis=1), apart[:, :nearest].sum(axis=1)))
