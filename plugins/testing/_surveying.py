"""The laws of reducers that survey whole updates before they reduce a block."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Iterator, Sequence
from functools import wraps
from typing import Final

import numpy as np

from tierwise.core.aggregation import AnyReducer, SurveyingReducer
from tierwise.core.weights import Buffer
from tierwise.plugins.testing._cohorts import differ, made_for, make_cohort, reduced
from tierwise.plugins.testing._laws import Law, same


def _of_surveying(law: Law) -> Law:
    @wraps(law)
    def only_where_it_surveys(reducer: AnyReducer) -> str | None:
        return law(reducer) if isinstance(reducer, SurveyingReducer) else None

    return only_where_it_surveys


@_of_surveying
def a_survey_returns_what_reduces(reducer: SurveyingReducer) -> str | None:
    """A reducer of the same need."""
    updates, samples = make_cohort(5)
    found = made_for(reducer, updates, samples)
    if isinstance(found, SurveyingReducer) or not callable(getattr(found, "reduce", None)):
        return f"it returned {found!r}, expected a reducer that surveys no more"
    return None if found.need is reducer.need else f"what it returned needs {found.need!r}, the plugin {reducer.need!r}"


@_of_surveying
def one_survey_does_not_disturb_another(reducer: SurveyingReducer) -> str | None:
    """Several groups may be reduced at the same time: what was found out is in what a survey returns."""
    updates, samples = make_cohort(5)
    expected = reduced(reducer, updates, samples)
    first = made_for(reducer, updates, samples)
    made_for(reducer, *make_cohort(7, seed=1))
    found = reduced(first, updates, samples)
    return None if same(found, expected) else "a cohort is reduced otherwise after a survey of another one"


@_of_surveying
def the_cut_of_a_survey_does_not_matter(reducer: SurveyingReducer) -> str | None:
    """It is of whole updates, however large the blocks are."""
    updates, samples = make_cohort(5)
    expected = reduced(reducer, updates, samples)
    for cut in (1, 2, 16, 32):
        blocks = [[update[:cut] for update in updates], [update[cut:] for update in updates]]
        fault = differ(reduced(reducer.survey(iter(blocks), samples), updates, samples), expected, updates)
        if fault:
            return f"cut at {cut}: {fault}"
    return None


@_of_surveying
def a_block_is_read_before_the_next(reducer: SurveyingReducer) -> str | None:
    """All blocks have the same memory."""
    updates, samples = make_cohort(5)
    expected = reduced(reducer, updates, samples)
    found = reduced(reducer.survey(_in_one_place(updates, 3), samples), updates, samples)
    return differ(found, expected, updates)


def _in_one_place(updates: Sequence[Buffer], length: int) -> Iterator[Sequence[Buffer]]:
    memory = np.empty((len(updates), length), np.float32)
    for start in range(0, len(updates[0]), length):
        size = min(length, len(updates[0]) - start)
        for row, update in zip(memory, updates, strict=True):
            row[:size] = update[start : start + size]
        blocks = [row[:size].view() for row in memory]
        for block in blocks:
            block.flags.writeable = False
        yield blocks


SURVEYING_LAWS: Final = (
    a_survey_returns_what_reduces,
    one_survey_does_not_disturb_another,
    the_cut_of_a_survey_does_not_matter,
    a_block_is_read_before_the_next,
)
