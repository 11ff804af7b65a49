"""What is told in sentences has no names of classes in it."""

import pytest

from tests.core.drive import learning, tier
from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.events import InputRejected, Refusal
from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.cli.sentences import hear, tell


def rejected(name: str, device: str | None = "odd") -> str:
    of = None if device is None else DeviceId(device)
    return tell(InputRejected(input=name, device=of, refusal=Refusal.WRONG_TASK, reason="it is for another task"))


def test_a_rejected_hello_is_told_as_one() -> None:
    assert rejected("EnrolDevice") == "the hello of odd was not taken: it is for another task"


@pytest.mark.parametrize("kind", [*i.DeviceInput.__subclasses__(), *i.Answer.__subclasses__()])
def test_no_input_is_told_by_its_class(kind: type[i.Input]) -> None:
    told = rejected(kind.__name__, "odd" if issubclass(kind, i.DeviceInput) else None)
    assert kind.__name__ not in told
    assert told.startswith("what a plugin answered" if issubclass(kind, i.Answer) else ("the ", "an ", "a "))


def test_guests_are_told_apart() -> None:
    drive = learning("abc", "xyz", downward=True)
    (opened,) = drive.select("g1")
    assert tell(opened) == "g1: round 1 opened for 6 devices, 3 of them guests"
    own, *also = (m.Assignment(group=GroupId(group), tier=tier()) for group in ("g3", "g1", "g2"))
    assert hear(m.Assigned(assignment=own)) == "in g3, with tier small"
    told = hear(m.Assigned(assignment=own, also=tuple(also)))
    assert told == "in g3, with tier small; a guest of g1, g2, when there is time"
