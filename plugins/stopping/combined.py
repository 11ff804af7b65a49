"""Stop rules made of others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from tierwise.core.errors import ConfigurationError, NeverStopsError
from tierwise.core.stopping import ChecksTask, RoundRecord, StopRule
from tierwise.core.task import Task
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.parts import KEYS, Parts

_KEY: Final = KEYS[Kind.STOP_RULE]
"""Of a rule's table: its name; what else is in it are its options."""


class CombinedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `AnyRule` and `AllRule`.

    Attributes
    ----------
    rules
        Tables as ``[stop]`` itself: ``rule`` names a stop rule, and beside it stand its options.
    """

    rules: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1)] = (
        {_KEY: "rounds"},
        {_KEY: "plateau"},
    )

    def __post_init__(self) -> None:
        for number, rule in enumerate(self.rules):
            if not isinstance(rule.get(_KEY), str):
                raise TypeError(
                    f"item {number} of rules is {rule!r}, which names no rule: write "
                    '{ rule = "rounds", rounds = 30 }, for example'
                )


class _Combined:
    def __init__(self, options: CombinedOptions, parts: Parts) -> None:
        self._rules = [_made(rule, f"rules.{number}", parts) for number, rule in enumerate(options.rules)]

    def check_task(self, task: Task) -> None:
        """Let each rule look at the task; that one of them does not go with it is a mistake, whoever else stops."""
        for number, rule in enumerate(self._rules):
            if isinstance(rule, ChecksTask):
                try:
                    rule.check_task(task)
                except ConfigurationError as error:
                    raise error.below(f"rules.{number}") from error

    def _asked(self, history: Sequence[RoundRecord]) -> list[str | NeverStopsError | None]:
        return [_answer(rule.check, history) for rule in self._rules]


class AnyRule(_Combined):
    """Stops a group as soon as one of its rules does."""

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Return the first reason.

        Raises
        ------
        NeverStopsError
            If no rule can ever stop the group.
        """
        answers = self._asked(history)
        hopeless = [answer for answer in answers if isinstance(answer, NeverStopsError)]
        if len(hopeless) == len(answers):
            raise hopeless[0]
        return next((answer for answer in answers if isinstance(answer, str)), None)


class AllRule(_Combined):
    """Stops a group at the first round at which every one of its rules would."""

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Return all reasons.

        Raises
        ------
        NeverStopsError
            If one of the rules can never stop the group.
        """
        answers = self._asked(history)
        for answer in answers:
            if isinstance(answer, NeverStopsError):
                raise answer
        reasons = [answer for answer in answers if isinstance(answer, str)]
        return "; ".join(reasons) if len(reasons) == len(answers) else None


def _made(rule: Mapping[str, Any], at: str, parts: Parts) -> StopRule:
    return parts.stop_rule(rule[_KEY], {name: value for name, value in rule.items() if name != _KEY}, at=at)


def _answer(
    check: Callable[[Sequence[RoundRecord]], str | None], history: Sequence[RoundRecord]
) -> str | NeverStopsError | None:
    try:
        return check(history)
    except NeverStopsError as error:
        return error
