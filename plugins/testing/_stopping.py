"""The laws of stop rules."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Sequence
from typing import Final

import msgspec

from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.metrics import Metric
from tierwise.core.stopping import RoundRecord, StopRule
from tierwise.core.task import Task
from tierwise.plugins.testing._laws import TASK, hold


def check_stop_rule(rule: StopRule, task: Task = TASK) -> None:
    """Check that a stop rule keeps its contract.

    Parameters
    ----------
    rule
        What is checked.
    task
        Its metrics are in the histories that the rule is shown.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(rule, LAWS, task)


def _history(task: Task, rounds: int, *, step: int = 1, holdout: int = 50) -> list[RoundRecord]:
    """Make a federation that gets better; with ``step`` 2 every other round was abandoned."""
    return [
        RoundRecord(
            round=RoundNumber(1 + step * number),
            version=ModelVersion(1 + number),
            metrics={
                name: Metric(
                    sum=holdout * (2 / (2 + number) if "loss" in name else 1 - 0.9 / (1 + number)), count=holdout
                )
                for name in task.sums
            },
            opened_at=60.0 * number * step,
            closed_at=60.0 * number * step + 45,
            devices=5,
            samples=500,
            download_bytes=50_000,
            upload_bytes=50_000,
            participants=5,
            energy_j=20.0,
        )
        for number in range(rounds)
    ]


def _histories(task: Task) -> list[list[RoundRecord]]:
    return [_history(task, rounds) for rounds in (1, 2, 3, 10, 100, 2000)]


def the_history_is_left_as_it_is(rule: StopRule, task: Task) -> str | None:
    """It is the coordinator's own."""
    for history in _histories(task):
        before = msgspec.json.encode(history)
        rule.check(history)
        if msgspec.json.encode(history) != before:
            return f"a history of {len(before)} rounds is changed"
    return None


def the_answer_is_none_or_a_reason(rule: StopRule, task: Task) -> str | None:
    """A reason is a text that is not empty, since people read it."""
    for history in _histories(task):
        answer: object = rule.check(history)
        if answer is not None and (not isinstance(answer, str) or not answer.strip()):
            return f"after {len(history)} rounds it answered {answer!r}"
    return None


def the_same_history_gives_the_same_answer(rule: StopRule, task: Task) -> str | None:
    """``check`` is pure: what it was shown before, and the real clock, do not matter."""
    histories = _histories(task)
    first = [rule.check(history) for history in histories]
    again = [rule.check(tuple(history)) for history in reversed(histories)][::-1]
    for history, one, other in zip(histories, first, again, strict=True):
        if one != other:
            return f"after {len(history)} rounds it answered {one!r}, then {other!r}"
    return None


def abandoned_rounds_may_leave_gaps(rule: StopRule, task: Task) -> str | None:
    """Round numbers go up, but not one by one."""
    return _usable(rule, _history(task, 10, step=2))


def a_hold_out_may_be_empty(rule: StopRule, task: Task) -> str | None:
    """Metrics over no samples have the count 0."""
    return _usable(rule, _history(task, 3, holdout=0))


def _usable(rule: StopRule, history: Sequence[RoundRecord]) -> str | None:
    answer: object = rule.check(history)
    return None if answer is None or isinstance(answer, str) else f"it answered {answer!r}"


LAWS: Final = (
    the_history_is_left_as_it_is,
    the_answer_is_none_or_a_reason,
    the_same_history_gives_the_same_answer,
    abandoned_rounds_may_leave_gaps,
    a_hold_out_may_be_empty,
)
