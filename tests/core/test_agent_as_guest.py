"""The device's machine as a guest: weaker groups' rounds beside its own."""

import msgspec
import pytest

from tierwise.core import messages as m
from tierwise.core.actions import Follow, KeepTarget, Send, StartJob, StopJob
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.insistence import AgentSettings
from tierwise.core.seeds import derive_seed
from tierwise.core.work import JobDone

from .test_agent import (
    DEADLINE_S,
    LIMIT_S,
    LOCAL,
    ME,
    METRICS,
    RETRY_S,
    Device,
    announced,
    assignment,
    done,
    receipt,
    target,
)

OTHERS = (DeviceId("a"), DeviceId("b"), DeviceId("c"))
G1, G2, G3 = GroupId("g1"), GroupId("g2"), GroupId("g3")
COMPUTE_S = 18.0
"""What a job takes on `SLOW`: 9 samples to train on and 9 to evaluate, 1 FLOP each."""
SLOW = HardwareProfile.declared(cpu_flops=1.0, uplink_bytes_per_s=8.0)
NEEDS_S = COMPUTE_S + 2.0
"""With its 16 bytes on their way up."""


def place(*also, order=0):
    """Make the word that the device is of g3, and may be a guest of others."""
    return m.Assigned(
        assignment=assignment("g3", "large"), also=tuple(assignment(one, f"tier-{one}") for one in also), order=order
    )


def visiting(cohort="g1.r1", **changed):
    """Make the announcement of a round to which the device is invited as a guest."""
    return msgspec.structs.replace(announced(cohort, participants=OTHERS, **changed), guests=(ME,))


def guest(*also, settings=None, profile=None):
    device = Device(settings)
    device.start()
    device.hear(m.Welcome(federation="f", assignment=None))
    if profile is not None:
        device.machine.report(profile)
    device.hear(place(*(also or ("g1", "g2"))))
    return device


def started(actions):
    return [action.job.cohort for action in actions if isinstance(action, StartJob)]


def stopped(actions):
    return [action.cohort for action in actions if isinstance(action, StopJob)]


def refused(actions):
    sent = [action.message for action in actions if isinstance(action, Send)]
    return [message.cohort for message in sent if isinstance(message, m.TaskRefused)]


def sent(actions):
    messages = [action.message for action in actions if isinstance(action, Send)]
    return [message.cohort for message in messages if isinstance(message, m.UpdateSent | m.EvaluationSent)]


# -- where


def test_it_follows_its_own_group_and_those_whose_guest_it_may_be():
    device = Device()
    device.start()
    assert device.hear(place("g1", "g2", order=1)) == (Follow(G3, (G1, G2)),)
    assert device.hear(place("g1", "g2", order=2)) == ()
    assert device.hear(place("g1", order=3)) == (Follow(G3, (G1,)),)
    assert device.start()[1] == Follow(G3, (G1,))


def test_a_welcome_says_it_too():
    device = Device()
    device.start()
    welcome = m.Welcome(federation="f", assignment=assignment("g3"), also=(assignment("g1"),))
    assert device.hear(welcome) == (Follow(G3, (G1,)),)


def test_an_older_coordinator_says_nothing_of_guests():
    read = msgspec.msgpack.decode(
        msgspec.msgpack.encode({"kind": "assigned", "assignment": msgspec.to_builtins(assignment())}), type=m.Assigned
    )
    assert read.also == ()


# -- jobs


def test_as_a_guest_it_trains_the_weaker_groups_tier_with_a_seed_of_its_own():
    device = guest()
    (begun,) = device.hear(visiting(seed=3), b"small model")
    assert (begun.job.tier.name, bytes(begun.job.model)) == ("tier-g1", b"small model")
    assert begun.job.seed == derive_seed(3, ME)


@pytest.mark.parametrize("participants", [None, OTHERS])
def test_a_weaker_groups_round_is_not_its_own_unless_it_is_invited(participants):
    device = guest()
    assert device.hear(announced("g1.r1", participants=participants)) == ()
    assert device.hear(visiting("g4.r1")) == ()


def test_its_own_group_comes_first_and_what_was_begun_for_another_is_begun_anew():
    device = guest()
    (visit,) = device.hear(visiting(), b"small model")
    actions = device.hear(announced("g3.r1"))
    assert (stopped(actions), started(actions)) == (["g1.r1"], ["g3.r1"])
    assert device.finish("g1.r1") == (), "what the stopped job still gives comes again"
    actions = device.finish("g3.r1")
    assert (sent(actions), started(actions)) == (["g3.r1"], ["g1.r1"])
    assert actions[-1].job == visit.job


def test_jobs_for_others_wait_for_each_other():
    device = guest()
    assert started(device.hear(visiting("g1.r1"))) == ["g1.r1"]
    assert device.hear(visiting("g2.r1")) == ()
    assert device.hear(visiting("g2.r1")) == (), "announced again, it is one job"
    assert started(device.finish("g1.r1")) == ["g2.r1"]


def test_a_newer_round_of_a_group_takes_the_place_of_the_older_one_that_waits():
    device = guest()
    device.hear(announced("g3.r1"))
    device.hear(visiting("g1.r1"))
    assert device.hear(visiting("g1.r2")) == ()
    assert started(device.finish("g3.r1")) == ["g1.r2"]


def test_a_failed_job_is_declined_and_the_next_begins():
    device = guest()
    device.hear(visiting("g1.r1"))
    device.hear(visiting("g2.r1"))
    actions = device.machine.job_failed(CohortId("g1.r1"), "no memory", device.now)
    assert (refused(actions), started(actions)) == (["g1.r1"], ["g2.r1"])


def test_what_a_group_trained_locally_stays_with_that_group():
    device = guest()
    device.hear(visiting("g1.r1"))
    device.finish("g1.r1", JobDone(METRICS, msgspec.structs.replace(done().trained, local=LOCAL)))
    (begun,) = device.hear(announced("g3.r1"))
    assert begun.job.local is None
    device.finish("g3.r1")
    device.hear(receipt("g3.r1"))
    (begun,) = [action for action in device.hear(visiting("g1.r2")) if isinstance(action, StartJob)]
    assert begun.job.local is LOCAL


# -- time


def test_without_time_beside_its_own_work_it_declines_at_once_and_says_so_again():
    device = guest(profile=SLOW)
    device.hear(announced("g3.r1"))
    actions = device.hear(visiting(deadline_s=2 * NEEDS_S))
    assert refused(actions) == ["g1.r1"]
    assert device.hear(visiting(deadline_s=2 * NEEDS_S)) == actions, "the first may be lost"
    assert device.hear(visiting("g2.r1", deadline_s=2 * NEEDS_S + 1)) == ()


def test_what_waits_already_takes_time_as_well():
    device = guest(profile=SLOW)
    device.hear(announced("g3.r1"))
    assert device.hear(visiting("g1.r1", deadline_s=3 * NEEDS_S)) == ()
    assert refused(device.hear(visiting("g2.r1", deadline_s=3 * NEEDS_S))) == ["g2.r1"]


def test_its_own_round_takes_the_time_of_one_that_was_begun():
    device = guest(profile=SLOW)
    device.hear(visiting(deadline_s=2 * NEEDS_S - 1))
    actions = device.hear(announced("g3.r1"))
    assert (stopped(actions), refused(actions), started(actions)) == (["g1.r1"], ["g1.r1"], ["g3.r1"])


def test_it_declines_as_soon_as_its_own_work_has_taken_too_long():
    device = guest(profile=SLOW)
    device.hear(announced("g3.r1", deadline_s=1000.0))
    device.hear(visiting(deadline_s=3 * NEEDS_S))
    assert device.machine.due_at == 2 * NEEDS_S
    assert device.at(2 * NEEDS_S - 1) == ()
    assert refused(device.at(2 * NEEDS_S)) == ["g1.r1"]
    assert device.machine.due_at == 1000


def test_its_own_round_is_never_declined_for_want_of_time():
    device = guest(profile=SLOW)
    assert started(device.hear(announced("g3.r1", deadline_s=1.0))) == ["g3.r1"]


def test_at_the_deadline_a_guests_job_stops_and_the_next_begins():
    device = guest()
    device.hear(visiting("g1.r1", deadline_s=DEADLINE_S))
    device.hear(visiting("g2.r1", deadline_s=2 * DEADLINE_S))
    actions = device.at(DEADLINE_S)
    assert (stopped(actions), started(actions)) == (["g1.r1"], ["g2.r1"])


# -- delivering


def test_it_sends_one_update_after_the_other_and_its_own_groups_first():
    device = guest()
    device.hear(visiting("g1.r1"))
    assert sent(device.finish("g1.r1")) == ["g1.r1"]
    device.hear(visiting("g2.r1"))
    assert sent(device.finish("g2.r1")) == [], "the first has no receipt yet"
    device.hear(announced("g3.r1"))
    assert sent(device.finish("g3.r1")) == ["g3.r1"]
    assert sent(device.at(RETRY_S)) == ["g3.r1"]
    assert sent(device.hear(receipt("g3.r1"))) == ["g1.r1"]
    assert sent(device.hear(receipt("g1.r1"))) == ["g2.r1"]
    assert device.hear(receipt("g2.r1")) == ()
    assert device.machine.due_at is None


def test_a_receipt_that_comes_out_of_turn_counts():
    device = guest()
    device.hear(visiting("g1.r1"))
    device.finish("g1.r1")
    device.hear(announced("g3.r1"))
    device.finish("g3.r1")
    assert device.hear(receipt("g1.r1")) == ()
    assert device.hear(receipt("g3.r1")) == ()
    assert device.machine.due_at is None


def test_asked_again_it_sends_what_is_under_way_and_the_rest_in_its_turn():
    device = guest()
    device.hear(announced("g3.r1"))
    device.finish("g3.r1")
    device.hear(visiting("g1.r1"))
    device.finish("g1.r1")
    assert sent(device.hear(announced("g3.r1"))) == ["g3.r1"]
    assert device.hear(visiting("g1.r1")) == ()
    assert sent(device.start()) == ["g3.r1"]


def test_its_own_groups_next_round_ends_the_repetition_and_lets_the_other_go_on():
    device = guest()
    device.hear(announced("g3.r1"))
    device.finish("g3.r1")
    device.hear(visiting("g1.r1"))
    device.finish("g1.r1")
    actions = device.hear(announced("g3.r2"))
    assert (sent(actions), started(actions)) == (["g1.r1"], ["g3.r2"])
    assert sent(device.at(RETRY_S)) == ["g1.r1"]


def test_a_coordinator_that_forgot_gets_the_rounds_of_all_groups_again():
    device = guest()
    for cohort, announcement in (("g3.r1", announced("g3.r1", order=50)), ("g1.r1", visiting("g1.r1", order=50))):
        device.hear(announcement)
        device.finish(cohort)
        device.hear(receipt(cohort))
    device.start()
    assert device.hear(visiting("g1.r1")) == ()
    assert device.hear(announced("g3.r1")) == ()
    actions = device.hear(m.Welcome(federation="f", assignment=assignment("g3"), also=(assignment("g1"),), order=4))
    assert started(actions)[-1:] == ["g3.r1"]
    assert started(device.finish("g3.r1")) == ["g1.r1"]


# -- changes


def test_no_guest_any_more_it_ends_what_it_has_begun():
    device = guest()
    device.hear(visiting("g1.r1"))
    assert device.hear(place(order=5)) == (Follow(G3),)
    assert sent(device.finish("g1.r1")) == ["g1.r1"]
    assert device.hear(visiting("g1.r2")) == ()


def test_moved_to_the_group_whose_guest_it_is_it_goes_on_with_that_job():
    device = guest()
    device.hear(visiting("g1.r1"))
    device.hear(announced("g3.r1"))
    moved = device.hear(m.Assigned(assignment=assignment("g1"), order=9))
    assert (stopped(moved), started(moved)) == (["g3.r1"], ["g1.r1"])
    assert sent(device.finish("g1.r1")) == ["g1.r1"]


def test_the_target_of_a_weaker_group_is_not_kept_and_ends_its_job():
    device = guest()
    device.hear(visiting("g1.r1"))
    device.hear(visiting("g2.r1"))
    actions = device.hear(target("g1"), b"frame")
    assert (stopped(actions), started(actions)) == (["g1.r1"], ["g2.r1"])
    assert not any(isinstance(action, KeepTarget) for action in actions)


def test_with_its_own_target_it_is_a_guest_still():
    device = guest(settings=AgentSettings(retry_s=RETRY_S, retry_limit_s=LIMIT_S, poll_s=20.0))
    kept = device.hear(target("g3"), b"frame")
    assert isinstance(kept[0], KeepTarget)
    assert device.at(20.0)[1:] == (Follow(G3, (G1, G2)),), "it still asks for what it may have missed"
    assert started(device.hear(visiting("g1.r1"))) == ["g1.r1"]


def test_dismissed_it_stops_whatever_it_does():
    device = guest()
    device.hear(visiting("g1.r1"))
    device.hear(visiting("g2.r1"))
    assert stopped(device.hear(m.Dismissed(reason="over"))) == ["g1.r1"]
    assert device.machine.due_at is None
