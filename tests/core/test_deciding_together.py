"""Inputs about different devices, judged together: what comes of each is what would come of it alone."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding import Rejected
from tierwise.core.federation import Federation
from tierwise.core.ids import CohortId, DeviceId

from .drive import HITS, TASK, Drive, kinds, learning, profile

MEMBERS = "abcdefg"


def collecting() -> Drive:
    """Return a federation with an open cohort in which somebody of everything is."""
    drive = learning(MEMBERS)
    drive.select("g1", *"abcdef")
    drive.update("a")
    drive.lose("b")
    drive.give(i.ReportFault(device=DeviceId("c"), cohort=None, refusal=e.Refusal.MALFORMED, reason="garbage"))
    return drive


def about(device: str) -> st.SearchStrategy[i.DeviceInput]:
    name, cohort = DeviceId(device), CohortId("g1.r1")
    base = collecting().base("g1.r1")
    return st.sampled_from(
        [
            collecting().submission(device),
            collecting().submission(device, samples=0),
            i.SubmitEvaluation(device=name, cohort=cohort, base=base, metrics=HITS),
            i.DeclineTask(device=name, cohort=cohort, reason="busy"),
            i.EnrolDevice(device=name, schema_hash=TASK.schema_hash),
            i.ReportHardware(device=name, profile=profile(7e9)),
            i.LoseDevice(device=name, reason="silent"),
            i.RemoveDevice(device=name, reason="sold"),
            i.ReportFault(device=name, cohort=cohort, refusal=e.Refusal.MALFORMED, reason="garbage"),
            i.ReleaseDevice(device=name),
        ]
    )


said = st.lists(st.sampled_from([*MEMBERS, "stranger"]), unique=True, max_size=8).flatmap(
    lambda names: st.tuples(*map(about, names))
)


@settings(max_examples=100, deadline=None)
@given(inputs=said)
def test_together_is_one_after_the_other(inputs: tuple[i.DeviceInput, ...]) -> None:
    together, alone = collecting(), collecting()
    decided = together.machine.decide_together(inputs, 5.0)
    records = [record for one in decided if not isinstance(one, Rejected) for record in one]
    assert [record.sequence for record in records] == list(
        range(together.machine.sequence, together.machine.sequence + len(records))
    )
    for record in records:
        together.machine.apply(record)
    alone.now = 5.0
    for given_one, one in zip(inputs, decided, strict=True):
        if isinstance(one, Rejected):
            assert (alone.refusal(given_one).refusal, alone.refusal(given_one).reason) == (one.refusal, one.reason)
        else:
            assert alone.give_alone(given_one) == [record.event for record in one]
    assert together.machine.state == alone.machine.state


def test_what_is_said_about_one_device_is_not_judged_together() -> None:
    drive = collecting()
    update = drive.submission("d")
    with pytest.raises(AssertionError, match="has an order"):
        drive.machine.decide_together([update, update], 0.0)


def test_the_order_makes_no_difference() -> None:
    ends = []
    for names in itertools.permutations("def"):
        drive = collecting()
        inputs = [drive.submission(name) for name in names]
        for records in drive.machine.decide_together(inputs, 0.0):
            assert not isinstance(records, Rejected)
            assert kinds([drive.machine.apply(record) for record in records]) == [e.UpdateAccepted]
        ends.append(drive.machine.state)
    assert all(end == ends[0] for end in ends)


def test_a_machine_that_is_not_open_refuses_them_all() -> None:
    enrol = i.EnrolDevice(device=DeviceId("a"), schema_hash=TASK.schema_hash)
    (decided,) = Federation().decide_together([enrol], 0.0)
    assert isinstance(decided, Rejected)
    assert decided.refusal is e.Refusal.OUT_OF_PLACE
