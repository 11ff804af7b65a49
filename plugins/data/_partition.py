"""Deals samples out to devices, and splits what one got into training and hold-out.

What is dealt out are numbers of rows, from 0; whoever deals knows which samples they stand for.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def deal_evenly(samples: int, parts: int, random: np.random.Generator) -> list[Rows]:
    """Deal samples out at random; parts' sizes differ by one at the most."""
    return np.array_split(random.permutation(samples), parts)


def deal_skewed(
    labels: NDArray[np.int64], parts: int, alpha: float, minimum: int, random: np.random.Generator
) -> list[Rows]:
    """Deal each class out in shares drawn from a symmetric Dirichlet distribution.

    Yurochkin et al. 2019, "Bayesian Nonparametric Federated Learning of Neural Networks",
    https://arxiv.org/abs/1905.12022, section 4: the smaller ``alpha``, the fewer devices share a class, and the more
    the parts' sizes differ. The paper's devices may end up with nothing. Here a part under ``minimum`` then takes
    samples, picked at random, from whichever part is the largest at that moment (drawing again until all are
    large enough would take for ever with many parts, and would change the distribution for all of them). With 60
    parts of the digits and ``alpha`` 0.3 that moves 2 samples of 1,797; with many parts and a small ``alpha`` it moves
    so many that classes are mixed again.

    Parameters
    ----------
    labels
        Shape ``(n_samples,)``.
    parts, minimum
        ``parts * minimum`` is at most ``n_samples``.
    """
    dealt: list[list[Rows]] = [[] for _ in range(parts)]
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        for part, share in zip(dealt, _in_shares(rows, parts, alpha, random), strict=True):
            part.append(share)
    return _topped_up([np.concatenate(part) for part in dealt], minimum, random)


def deal_quantities(samples: int, parts: int, alpha: float, minimum: int, random: np.random.Generator) -> list[Rows]:
    """Deal samples out at random in shares drawn from a symmetric Dirichlet distribution: only sizes differ.

    Li et al. 2022, "Federated Learning on Non-IID Data Silos: An Experimental Study",
    https://arxiv.org/abs/2102.02079, its quantity skew. A part under ``minimum`` takes from the largest, as in
    `deal_skewed`.
    """
    return _topped_up(_in_shares(random.permutation(samples), parts, alpha, random), minimum, random)


def deal_shards(
    labels: NDArray[np.generic], parts: int, shards: int, minimum: int, random: np.random.Generator
) -> list[Rows]:
    """Sort the samples by label, cut them into equal shards, and deal each part the same number of those.

    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    https://arxiv.org/abs/1602.05629, section 3: with two shards most devices have samples of two classes only. The
    labels may be a regression's numbers: a device then has some ranges of them. A part under ``minimum`` takes from the
    largest, as in `deal_skewed`.

    Parameters
    ----------
    labels
        Shape ``(n_samples,)``.
    shards
        Of each part; ``parts * shards`` is at most ``n_samples``.
    """
    shuffled = random.permutation(len(labels))  # so that equal labels are in no order
    piles = np.array_split(shuffled[np.argsort(labels[shuffled], kind="stable")], parts * shards)
    order = random.permutation(len(piles))
    hands = [np.concatenate([piles[pile] for pile in some]) for some in np.split(order, parts)]
    return _topped_up(hands, minimum, random)


def _in_shares(rows: Rows, parts: int, alpha: float, random: np.random.Generator) -> list[Rows]:
    shares = random.dirichlet(np.full(parts, alpha))
    cuts = (np.cumsum(shares)[:-1] * len(rows)).astype(np.intp)
    return np.split(rows, cuts)


def _topped_up(dealt: list[Rows], minimum: int, random: np.random.Generator) -> list[Rows]:
    # Shuffled, so that the last ones, which may have to go, are any.
    hands = [random.permutation(hand).tolist() for hand in dealt]
    for hand in hands:
        while len(hand) < minimum:
            hand.append(max(hands, key=len).pop())
    return [np.array(hand, np.intp) for hand in hands]


def split_holdout(rows: Rows, holdout: float, random: np.random.Generator) -> tuple[Rows, Rows]:
    """Split at least two samples into training and hold-out, at random, at least one sample in each."""
    number = min(max(round(holdout * len(rows)), 1), len(rows) - 1)
    shuffled = random.permutation(rows)
    return shuffled[number:], shuffled[:number]
