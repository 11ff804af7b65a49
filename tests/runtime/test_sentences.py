"""What is told in sentences has no names of classes in it."""

import pytest

from tierwise.core import inputs as i
from tierwise.core.events import InputRejected, Refusal
from tierwise.core.ids import DeviceId
from tierwise.runtime.cli.sentences import tell


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
