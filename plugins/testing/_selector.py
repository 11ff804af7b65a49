"""The laws of selectors."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Mapping
from typing import Final

from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.selection import Postponed, Selector
from tierwise.plugins.testing._laws import hold, mixed_fleet

_SIZES: Final = (MINIMUM, MINIMUM + 1, 10, 200)
_SEEDS: Final = range(5)


def check_selector(selector: Selector) -> None:
    """Check that a selector keeps its contract.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(selector, LAWS)


def _chosen(selector: Selector, candidates: Mapping[DeviceId, HardwareProfile], seed: int) -> list[DeviceId]:
    """Return who was chosen; nobody, if the round has to wait."""
    answer = selector.select(candidates, seed=seed)
    return [] if isinstance(answer, Postponed) else list(answer)


def the_candidates_are_left_as_they_are(selector: Selector) -> str | None:
    """The mapping and the profiles in it are the caller's."""
    candidates = mixed_fleet(10)
    selector.select(candidates, seed=1)
    return None if candidates == mixed_fleet(10) else "the mapping of the candidates is changed"


def at_least_three_are_chosen(selector: Selector) -> str | None:
    """Of three candidates, that is all; who cannot choose three postpones the round, and does not choose two."""
    for size in _SIZES:
        for seed in _SEEDS:
            answer = selector.select(mixed_fleet(size), seed=seed)
            if not isinstance(answer, Postponed) and len(set(answer)) < MINIMUM:
                return f"of {size} candidates {list(answer)} were chosen"
    return None


def a_postponement_says_why(selector: Selector) -> str | None:
    """People read it while the group waits."""
    for size in _SIZES:
        answer = selector.select(mixed_fleet(size), seed=1)
        if isinstance(answer, Postponed) and not answer.reason.strip():
            return f"with {size} candidates the round is to wait, for the reason {answer.reason!r}"
    return None


def only_candidates_are_chosen(selector: Selector) -> str | None:
    """Nobody else is in the group, or reachable."""
    for size in _SIZES:
        candidates = mixed_fleet(size)
        for seed in _SEEDS:
            strangers = set(_chosen(selector, candidates, seed)) - set(candidates)
            if strangers:
                return f"{sorted(map(repr, strangers))} are not among the {size} candidates"
    return None


def each_is_chosen_once(selector: Selector) -> str | None:
    """A device takes part in a round once."""
    for size in _SIZES:
        for seed in _SEEDS:
            chosen = _chosen(selector, mixed_fleet(size), seed)
            if len(set(chosen)) < len(chosen):
                return f"chosen twice: {sorted(device for device in set(chosen) if chosen.count(device) > 1)}"
    return None


def the_same_seed_chooses_the_same(selector: Selector) -> str | None:
    """``select`` is pure: what was chosen before does not matter."""
    candidates = mixed_fleet(20)
    first = _chosen(selector, candidates, 7)
    selector.select(mixed_fleet(9), seed=8)
    again = _chosen(selector, candidates, 7)
    return None if again == first else f"first {first}, then {again}"


def the_order_of_the_candidates_does_not_matter(selector: Selector) -> str | None:
    """Equal mappings are equal arguments, in whatever order their items were put in."""
    candidates = mixed_fleet(20)
    backwards = dict(reversed(candidates.items()))
    for seed in _SEEDS:
        first, second = (sorted(_chosen(selector, of, seed)) for of in (candidates, backwards))
        if first != second:
            return f"chosen were {first}, and {second} from the same candidates backwards"
    return None


LAWS: Final = (
    the_candidates_are_left_as_they_are,
    at_least_three_are_chosen,
    a_postponement_says_why,
    only_candidates_are_chosen,
    each_is_chosen_once,
    the_same_seed_chooses_the_same,
    the_order_of_the_candidates_does_not_matter,
)
