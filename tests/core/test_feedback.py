"""What a device keeps of what coding lost, and when."""

import numpy as np
import pytest

from tierwise.core.events import Purpose, Refusal
from tierwise.core.feedback import Feedback
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId
from tierwise.core.learning import FitBudget
from tierwise.core.messages import Receipt, RoundAnnounced

ME = DeviceId("me")
GROUP = GroupId("g1")
OLD, NEW = np.full(3, 1, np.float32), np.full(3, 2, np.float32)


def announced(number, made_by=None, left_out=(), group="g1"):
    return RoundAnnounced(
        group=GroupId(group),
        cohort=CohortId(f"{group}.r{number}"),
        purpose=Purpose.FIT,
        model=BlobHash("0" * 64),
        participants=None,
        budget=FitBudget(),
        seed=0,
        deadline_in_s=1.0,
        made_by=None if made_by is None else CohortId(f"{group}.r{made_by}"),
        left_out=left_out,
    )


def receipt(number, refusal=None):
    return Receipt(cohort=CohortId(f"g1.r{number}"), refusal=refusal, reason="")


def keeping():
    """Return what a device has that keeps `OLD` of a first round and has sent the update of a second one."""
    feedback = Feedback(ME)
    feedback.send(GROUP, CohortId("g1.r1"), OLD)
    feedback.settle(announced(2, made_by=1))
    assert feedback.of(GROUP) is OLD
    feedback.send(GROUP, CohortId("g1.r2"), NEW)
    return feedback


def test_at_first_nothing_is_kept():
    feedback = Feedback(ME)
    assert feedback.of(GROUP) is None
    feedback.settle(announced(1))
    assert feedback.of(GROUP) is None


def test_until_the_next_round_is_announced_what_was_kept_stays():
    feedback = keeping()
    feedback.receive(receipt(2))
    feedback.settle(announced(2, made_by=1))  # again
    assert feedback.of(GROUP) is OLD


@pytest.mark.parametrize("received", [True, False])
def test_an_update_that_is_in_the_model_leaves_behind_what_it_lost(received):
    feedback = keeping()
    if received:
        feedback.receive(receipt(2))
    feedback.settle(announced(3, made_by=2, left_out=(DeviceId("other"),)))
    assert feedback.of(GROUP) is NEW


def test_an_update_that_was_left_out_took_nothing_with_it():
    feedback = keeping()
    feedback.receive(receipt(2))
    feedback.settle(announced(3, made_by=2, left_out=(ME,)))
    assert feedback.of(GROUP) is OLD


def test_an_abandoned_round_took_nothing_with_it():
    feedback = keeping()
    feedback.receive(receipt(2))
    feedback.settle(announced(3, made_by=1))
    assert feedback.of(GROUP) is OLD


def test_a_first_round_that_was_abandoned_took_nothing_with_it():
    feedback = Feedback(ME)
    feedback.send(GROUP, CohortId("g1.r1"), NEW)
    feedback.receive(receipt(1))
    feedback.settle(announced(2))
    assert feedback.of(GROUP) is None


@pytest.mark.parametrize(
    ("receipts", "kept"),
    [((), OLD), ((receipt(2),), NEW), ((receipt(2, Refusal.LATE),), OLD), ((receipt(1),), OLD)],
    ids=["none", "taken", "refused", "of another round"],
)
def test_who_was_away_believes_the_receipt(receipts, kept):
    feedback = keeping()
    for one in receipts:
        feedback.receive(one)
    feedback.settle(announced(7, made_by=6))
    assert feedback.of(GROUP) is kept


def test_what_cannot_be_used_is_not_kept():
    feedback = keeping()
    feedback.receive(receipt(2, Refusal.MALFORMED))
    assert feedback.of(GROUP) is None
    feedback.settle(announced(3, made_by=2))
    assert feedback.of(GROUP) is None


def test_the_latest_update_is_the_one_that_counts():
    feedback, newest = keeping(), np.full(3, 3, np.float32)
    feedback.send(GROUP, CohortId("g1.r3"), newest)
    feedback.settle(announced(4, made_by=3))
    assert feedback.of(GROUP) is newest


def test_groups_keep_their_own():
    feedback = keeping()
    feedback.settle(announced(3, made_by=2, group="g2"))
    assert feedback.of(GroupId("g2")) is None
    assert feedback.of(GROUP) is OLD
    feedback.drop(GROUP)
    feedback.settle(announced(3, made_by=2))
    assert feedback.of(GROUP) is None


def test_rounds_that_come_again_find_what_was_kept_before():
    feedback = keeping()
    feedback.forget()
    feedback.settle(announced(3, made_by=2))
    assert feedback.of(GROUP) is OLD
