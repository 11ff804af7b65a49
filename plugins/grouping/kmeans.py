"""Groups of like devices, found by clustering."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.tiers import RoundLimits, Tier
from tierwise.plugins.grouping._fleet import Comparable

if TYPE_CHECKING:
    import polars as pl

_FITTED: Final = 5_000
"""Devices that clusters are found with; of a larger fleet, these are drawn, and the others go to the nearest centre."""
_LEAST_TO_DIVIDE: Final = 2 * MINIMUM
_SILHOUETTE_SAMPLE: Final = 2000
"""Devices that a silhouette is taken over: it grows with the square of them."""
_BLOCK: Final = 8192
"""Devices whose distances are in the processor's cache at the same time."""
_STARTS: Final = 10
"""Random initialisations of a clustering, the best of which counts."""
_CONSTANT: Final = 1e-9
"""A logarithm that spreads less than this over a fleet does not tell its devices apart."""


class KMeansOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `KMeansPolicy`.

    Attributes
    ----------
    k
        How many clusters; left out, their number is chosen by silhouette. A fleet of fewer than three times as
        many devices, or of fewer distinct ones, gets fewer, and clusters under three devices are merged.
    max_k
        The most that the choice goes up to.
    quantities
        What devices are compared by, quantities of which more is better.
    seed
        Of the clustering's random initialisations.
    """

    k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_k: Annotated[int, msgspec.Meta(ge=1)] = 6
    quantities: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = (
        "cpu_flops",
        "memory_bytes",
        "uplink_bytes_per_s",
    )
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0

    def __post_init__(self) -> None:
        if len(set(self.quantities)) < len(self.quantities):
            raise ValueError(f"quantities names one twice: {', '.join(self.quantities)}")


class KMeansPolicy:
    """Clusters the devices by k-means on the logarithms of their hardware, each standardised over the fleet.

    Logarithms, because twice as fast means the same to a slow device as to a fast one. A quantity that is the same
    for all is left out. A fleet under six devices, or one whose devices are all alike, is one group. Devices that
    lack one of the quantities are unplaced. Of a fleet above 5,000 devices, as many are drawn by the seed to find the
    clusters with, and each device goes to the nearest centre: which groups there are hardly depends on more.
    """

    def __init__(self, options: KMeansOptions) -> None:
        self._options = options

    def group(self, fleet: "pl.DataFrame", offers: Sequence[Tier], limits: RoundLimits) -> Grouping:  # noqa: ARG002
        """Divide the fleet, whatever is on offer.

        Groups are ordered by the mean of their devices' standardised quantities.

        Raises
        ------
        ConfigurationError
            If no device has one of the quantities.
        """
        comparable = Comparable.of(fleet, self._options.quantities, "kmeans")
        if len(comparable.devices) < MINIMUM:
            return comparable.too_few()
        points = _standardise(comparable.values)
        clusters = _merge_small(points, self._labels(points))
        clusters.sort(key=lambda rows: (points[rows].mean(), rows[0]))

        @cache
        def typical(group: int) -> str:
            return self._told(np.median(comparable.values[clusters[group]], axis=0))

        def tell(row: int, group: int) -> str:
            like = f"it is most like the {len(clusters[group])} of this group, whose medians are {typical(group)}"
            return f"with {self._told(comparable.values[row])} {like}"

        return comparable.grouped(clusters, tell)

    def _told(self, values: NDArray[np.float64]) -> str:
        return ", ".join(f"{name} {value:.3g}" for name, value in zip(self._options.quantities, values, strict=True))

    def _labels(self, points: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the number of each device's cluster."""
        fitted = points[_sample(len(points), _FITTED, self._options.seed)]
        most = min(len(fitted) // MINIMUM, len(np.unique(fitted, axis=0)))
        if self._options.k is not None:
            return _nearest(points, _centres(fitted, min(self._options.k, most), self._options.seed))
        if len(points) < _LEAST_TO_DIVIDE:
            most = 1
        shown = fitted[_sample(len(fitted), _SILHOUETTE_SAMPLE, self._options.seed)]
        best, best_score = _centres(fitted, 1, self._options.seed), -np.inf
        for k in range(2, min(self._options.max_k, most) + 1):
            centres = _centres(fitted, k, self._options.seed)
            score = _silhouette(shown, _nearest(shown, centres))
            if score > best_score:
                best, best_score = centres, score
        return _nearest(points, best)


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logarithms of mean 0 and deviation 1, without constant columns, or one of zeros if all are constant.

    A zero, which has no logarithm, counts as the least value above it in the fleet.
    """
    positive = np.where(values > 0, values, np.inf).min(axis=0)
    logarithms = np.log(np.maximum(values, np.where(np.isfinite(positive), positive, 1.0)))
    deviation = logarithms.std(axis=0)
    varying = deviation > _CONSTANT
    if not varying.any():
        return np.zeros((len(values), 1))
    kept = logarithms[:, varying]
    return np.asarray((kept - kept.mean(axis=0)) / deviation[varying], np.float64)


def _centres(points: NDArray[np.float64], k: int, seed: int) -> NDArray[np.float64]:
    """Return the centres of the clusters, shape ``(k, n_quantities)``."""
    if k < 2:
        return np.asarray(points.mean(axis=0, keepdims=True))
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn brings it

    # With several threads, sums are added in the order in which they come ready, and so can differ in their last bits.
    with threadpool_limits(limits=1, user_api="openmp"):
        found = KMeans(n_clusters=k, n_init=_STARTS, random_state=seed).fit(points)
    return np.asarray(found.cluster_centers_, np.float64)


def _nearest(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the number of the centre that is nearest to each point; of equally near ones, the first."""
    labels = np.empty(len(points), np.intp)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK].T
        distances = np.zeros((len(centres), block.shape[1]))
        for values, of_centres in zip(block, centres.T, strict=True):
            distances += (values - of_centres[:, None]) ** 2
        labels[start : start + _BLOCK] = distances.argmin(axis=0)
    return labels


def _sample(devices: int, most: int, seed: int) -> NDArray[np.intp]:
    if devices <= most:
        return np.arange(devices)
    return np.random.default_rng(seed).choice(devices, most, replace=False)


def _silhouette(points: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Return the mean silhouette (Rousseeuw 1987), from -1 to 1; -1 if the sample shows a single cluster."""
    if not 1 < len(np.unique(labels)) < len(points):
        return -1.0
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels))


def _merge_small(points: NDArray[np.float64], labels: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return clusters as row numbers; those under three are merged into the nearest by centroid, smallest first."""
    clusters = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    clusters.sort(key=lambda rows: int(rows[0]))  # a number that k-means gave means nothing
    while len(clusters) > 1:
        small = min(range(len(clusters)), key=lambda number: len(clusters[number]))
        if len(clusters[small]) >= MINIMUM:
            break
        rows = clusters.pop(small)
        centroids = np.array([points[others].mean(axis=0) for others in clusters])
        near = int(((centroids - points[rows].mean(axis=0)) ** 2).sum(axis=1).argmin())
        clusters[near] = np.sort(np.concatenate((clusters[near], rows)))
    return clusters
