"""The laws of reducers."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from typing import Final

import numpy as np

from tierwise.core.aggregation import AnyReducer, Need
from tierwise.plugins.testing._cohorts import differ, made_for, make_cohort, reduced
from tierwise.plugins.testing._laws import frozen, hold, same
from tierwise.plugins.testing._surveying import SURVEYING_LAWS

_SIZE: Final = 33


def check_reducer(reducer: AnyReducer) -> None:
    """Check that a reducer keeps its contract; with the method ``survey``, that of a `SurveyingReducer`.

    Two results count as equal when they differ by no more than a few roundings of the greatest update.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(reducer, LAWS)


def the_need_is_declared(reducer: AnyReducer) -> str | None:
    """``need`` is a `Need`, and the same every time."""
    found: object = reducer.need
    return None if isinstance(found, Need) else f"need is {found!r}, expected one of {list(Need)}"


def the_inputs_stay_as_they_are(reducer: AnyReducer) -> str | None:
    """Updates are mapped from the spool, and other blocks of them are read later."""
    updates, samples = make_cohort(5)
    given, weights = [update.copy() for update in updates], samples.copy()  # writable, to see what is written
    reduced(reducer, given, weights)
    for number, (now, before) in enumerate(zip(given, updates, strict=True)):
        if not same(now, before):
            return f"update {number} was changed"
    return None if same(weights, samples) else "the samples were changed"


def every_element_is_written(reducer: AnyReducer) -> str | None:
    """What ``out`` held before does not matter."""
    updates, samples = make_cohort(5)
    first = reduced(reducer, updates, samples)
    out = np.full(_SIZE, 7, np.float32)
    made_for(reducer, updates, samples).reduce(updates, samples, out)
    if np.isnan(first).any():
        return f"{int(np.isnan(first).sum())} of {_SIZE} elements are NaN, as they were before"
    return None if same(first, out) else "the result differs with what was in out before"


def the_same_updates_give_the_same_result(reducer: AnyReducer) -> str | None:
    """``reduce`` is pure, to the last bit: what was reduced before does not matter."""
    updates, samples = make_cohort(5)
    first = reduced(reducer, updates, samples)
    reduced(reducer, *make_cohort(7, seed=1))
    return None if same(first, reduced(reducer, updates, samples)) else "the second result differs from the first"


def equal_updates_reduce_to_themselves(reducer: AnyReducer) -> str | None:
    """Whoever agrees is not outvoted by arithmetic."""
    (update,), _ = make_cohort(1)
    for count in (3, 5, 10):
        _, samples = make_cohort(count)
        fault = differ(reduced(reducer, [update] * count, samples), update, [update])
        if fault:
            return f"{count} equal updates: {fault}"
    return None


def the_cut_into_blocks_does_not_matter(reducer: AnyReducer) -> str | None:
    """Memory stays small because a model is reduced block by block."""
    updates, samples = make_cohort(5)
    whole = reduced(reducer, updates, samples)
    made = made_for(reducer, updates, samples)
    for cut in (1, 2, 16, 32):
        parts = [reduced(made, [u[:cut] for u in updates], samples), reduced(made, [u[cut:] for u in updates], samples)]
        fault = differ(np.concatenate(parts), whole, updates)
        if fault:
            return f"cut at {cut}: {fault}"
    return None


def the_order_of_the_updates_does_not_matter(reducer: AnyReducer) -> str | None:
    """A device's name gives it no weight."""
    updates, samples = make_cohort(9)
    expected = reduced(reducer, updates, samples)
    return differ(reduced(reducer, updates[::-1], frozen(samples[::-1])), expected, updates)


def three_updates_are_enough(reducer: AnyReducer) -> str | None:
    """The smallest cohort, of which one may have nearly all samples."""
    updates, _ = make_cohort(3)
    found = reduced(reducer, updates, frozen(np.array([1, 1_000_000, 1], np.int64)))
    return None if np.isfinite(found).all() else f"the result is {found}"


def a_thousand_updates_are_not_too_many(reducer: AnyReducer) -> str | None:
    """The result lies where the updates lie, however many they are."""
    updates, samples = make_cohort(1000, size=4)
    found = reduced(reducer, updates, samples)
    low, high = np.min(updates, axis=0), np.max(updates, axis=0)
    slack = 1e-5 * np.abs(np.stack([low, high])).max()
    inside = bool(((found >= low - slack) & (found <= high + slack)).all())
    return None if inside else f"the result {found} lies outside of the updates, which reach from {low} to {high}"


def a_common_factor_of_the_samples_does_not_matter(reducer: AnyReducer) -> str | None:
    """Who needs only the sum: samples are weights, so it is their ratio that counts."""
    if reducer.need is not Need.SUM:
        return None
    updates, samples = make_cohort(5)
    return differ(reduced(reducer, updates, frozen(samples * 7)), reduced(reducer, updates, samples), updates)


def only_the_weighted_sum_counts(reducer: AnyReducer) -> str | None:
    """Who needs only the sum: other updates with the same weighted sum give the same result."""
    if reducer.need is not Need.SUM:
        return None
    updates, samples = make_cohort(5)
    mean = np.average(np.stack(updates).astype(np.float64), axis=0, weights=samples).astype(np.float32)
    found, expected = reduced(reducer, [frozen(mean)] * 5, samples), reduced(reducer, updates, samples)
    fault = differ(expected, found, updates)
    return fault and f"{fault}; a reducer that must see each update declares Need.INDIVIDUAL"


LAWS: Final = (
    the_need_is_declared,
    the_inputs_stay_as_they_are,
    every_element_is_written,
    the_same_updates_give_the_same_result,
    equal_updates_reduce_to_themselves,
    the_cut_into_blocks_does_not_matter,
    the_order_of_the_updates_does_not_matter,
    three_updates_are_enough,
    a_thousand_updates_are_not_too_many,
    a_common_factor_of_the_samples_does_not_matter,
    only_the_weighted_sum_counts,
    *SURVEYING_LAWS,
)
