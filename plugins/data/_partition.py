"""Deals samples out to devices, and splits what one got into training and hold-out."""

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
        shares = random.dirichlet(np.full(parts, alpha))
        cuts = (np.cumsum(shares)[:-1] * len(rows)).astype(np.intp)
        for part, share in zip(dealt, np.split(rows, cuts), strict=True):
            part.append(share)
    # Shuffled, so that the last ones, which may have to go, are any.
    hands = [random.permutation(np.concatenate(part)).tolist() for part in dealt]
    for hand in hands:
        while len(hand) < minimum:
            hand.append(max(hands, key=len).pop())
    return [np.array(hand, np.intp) for hand in hands]


def split_holdout(rows: Rows, holdout: float, random: np.random.Generator) -> tuple[Rows, Rows]:
    """Split at least two samples into training and hold-out, at random, at least one sample in each."""
    number = min(max(round(holdout * len(rows)), 1), len(rows) - 1)
    shuffled = random.permutation(rows)
    return shuffled[number:], shuffled[:number]
