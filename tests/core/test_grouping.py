"""What is wrong with a grouping policy's answer, said so that its author finds it."""

import polars as pl
import pytest

from tierwise.core.grouping import MINIMUM, Grouping, Told
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


def test_reasons_are_put_into_words_when_they_are_read() -> None:
    asked = []

    def tell(row: int) -> str:
        asked.append(row)
        return f"row {row}"

    told = Told(pl.Series(["b", "c", "d"]), tell)
    assert (len(told), list(told), "c" in told, "a" in told) == (3, ["b", "c", "d"], True, False)
    assert asked == []
    assert told[DeviceId("c")] == "row 1"
    assert asked == [1]
    with pytest.raises(KeyError):
        told[DeviceId("a")]


def test_reasons_in_words_or_not_yet_are_equal_where_they_say_the_same() -> None:
    words = {DeviceId("b"): "row 0", DeviceId("c"): "row 1"}
    told = Told(pl.Series(["b", "c"]), lambda row: f"row {row}")
    assert told == words
    assert words == told
    assert told != {**words, "c": "another"}
    assert Grouping(groups=(), unplaced=told) == Grouping(groups=(), unplaced=words)
    assert repr(told) == repr(words)
