"""What is wrong with a grouping policy's answer, said so that its author finds it."""

import pytest

from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.ids import DeviceId

FLEET = [DeviceId(name) for name in "abcdef"]


def grouping(*groups: str, **unplaced: str) -> Grouping:
    return Grouping(
        groups=tuple(tuple(map(DeviceId, group)) for group in groups),
        unplaced={DeviceId(name): reason for name, reason in unplaced.items()},
    )


def test_three_is_the_least_with_which_nobody_can_subtract_the_others() -> None:
    assert MINIMUM == 3


@pytest.mark.parametrize(
    "answer",
    [
        grouping("abc", "def"),
        grouping("fedcba"),
        grouping("abc", d="x", e="y", f="z"),
        grouping(**dict.fromkeys("abcdef", "x")),
    ],
)
def test_an_answer_that_places_everybody_or_says_why_not_is_good(answer: Grouping) -> None:
    assert answer.fault(FLEET) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (grouping("abc"), "devices answered twice: [], forgotten: ['d', 'e', 'f'], unknown: []"),
        (grouping("abc", "defx"), "devices answered twice: [], forgotten: [], unknown: ['x']"),
        (grouping("abc", "adef"), "devices answered twice: ['a'], forgotten: [], unknown: []"),
        (grouping("aabc", "def"), "devices answered twice: ['a'], forgotten: [], unknown: []"),
        (grouping("abc", "def", a="x"), "devices answered twice: ['a'], forgotten: [], unknown: []"),
        (grouping("abcd", "ef"), "group 1 has 2 devices ['e', 'f'], at least 3 are needed"),
        (grouping("abcdef", ""), "group 1 has 0 devices [], at least 3 are needed"),
    ],
)
def test_a_fault_names_the_devices(answer: Grouping, fault: str) -> None:
    assert answer.fault(FLEET) == fault
