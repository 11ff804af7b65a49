"""The weighted sum in NumPy: the specification of the compiled kernel, and its stand-in where there is none.

The law of summation, for each coordinate alone, in the order of the inputs:

1. a *product* is ``float32(c_k * x_k)``;
2. eight products in a row are added pairwise, ``((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))``;
3. eight such sums in a row are added from left to right: a *panel* of 64 buffers;
4. the panels are added pairwise.

Pairwise means: the largest power of two that is less than n on the left, the rest on the right, each added
likewise; so a last eight that is short, and any number of panels, follow the same rule. All of it in float32.

A term thus goes through one rounding as a product, 3 in its eight, at most 7 in its panel and
ceil(log2(panels)) above; with the rounding of its coefficient that is 23 for 100,000 buffers, and 23 * 2**-24
is less than 1.4e-6 of the sum of magnitudes. A plain running sum would be allowed 100,000 roundings.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

EIGHT = 8
PANEL = 64
# 64 KiB an array, and about four of them alive in an eight: within the second-level cache, and long enough
# for NumPy's cost per call not to matter. The sum does not depend on it.
BLOCK = 16384


def weighted_sum(buffers: tuple[Floats, ...], coefficients: Floats, out: Floats) -> None:
    """Set `out` to ``sum_k coefficients[k] * buffers[k]`` by the law of this module.

    Arguments are as `tierwise.ext.weighted_sum` has checked them, with the weights made coefficients.

    Parameters
    ----------
    buffers
        K >= 1 arrays of float32 of shape (n,), C-contiguous, aligned; only read.
    coefficients
        float32 of shape (K,).
    out
        float32 of shape (n,), written; shares no memory with the buffers.
    """
    sum_products(lambda k, block: buffers[k][block] * coefficients[k], len(buffers), out)


def sum_products(product: Callable[[int, slice], Floats], count: int, out: Floats) -> None:
    """Set `out` to the sum of `count` products, of which `product` makes block after block, by rules 2 to 4."""
    # Inf and NaN are results here, as they are in the kernel, and not something to warn of.
    with np.errstate(all="ignore"):
        for start in range(0, out.size, BLOCK):
            block = slice(start, min(start + BLOCK, out.size))
            products = (product(k, block) for k in range(count))
            out[block] = _pairwise(_panel(products, min(PANEL, count - k)) for k in range(0, count, PANEL))


def _panel(products: Iterator[Floats], count: int) -> Floats:
    """Take so many products, at most eight eights, and add the eights from left to right."""
    eights = (_pairwise(next(products) for _ in range(min(EIGHT, count - k))) for k in range(0, count, EIGHT))
    total = next(eights)
    for eight in eights:
        total += eight
    return total


def _pairwise(terms: Iterable[Floats]) -> Floats:
    """Add terms pairwise as they come, in place, with no more than log2 of them waiting."""
    waiting: list[Floats] = []
    for count, term in enumerate(terms, start=1):
        waiting.append(term)
        pairs = count
        while pairs % 2 == 0:  # each trailing zero bit of the count is a pair that is now complete
            _join(waiting)
            pairs //= 2
    while len(waiting) > 1:
        _join(waiting)
    return waiting[0]


def _join(waiting: list[Floats]) -> None:
    """Add the last waiting sum to the one before it."""
    right = waiting.pop()
    waiting[-1] += right
