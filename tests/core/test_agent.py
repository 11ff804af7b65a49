"""The device's machine: what it says and does, message by message."""

import functools
import hashlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core import messages as m
from tierwise.core.actions import Follow, KeepTarget, Leave, Send, StartJob, StopJob
from tierwise.core.agent import AgentMachine, AgentStage
from tierwise.core.events import Purpose, Refusal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, TierName
from tierwise.core.insistence import AgentSettings
from tierwise.core.learning import FitBudget
from tierwise.core.metrics import Metric
from tierwise.core.seeds import derive_seed
from tierwise.core.tiers import Cost, Tier
from tierwise.core.weights import Layout, Role, TensorSpec, Weights
from tierwise.core.work import JobDone, Trained

ME = DeviceId("me")
PROFILE = HardwareProfile.declared(cpu_flops=1e9)
RETRY_S, LIMIT_S, DEADLINE_S = 5.0, 15.0, 100.0
METRICS = {"accuracy": Metric(sum=1.0, count=2)}
MODEL = BlobHash("0" * 64)
COST = Cost(parameters=4, fit_flops_per_sample=1, evaluate_flops_per_sample=1, bytes=16, memory_bytes=16)


def tier(name="small"):
    return Tier(name=TierName(name), learner="mlp", options={}, layout=Layout.of({"w": (4,)}), cost=COST)


def assignment(group="g1", name="small"):
    return m.Assignment(group=GroupId(group), tier=tier(name))


def welcome(assigned=None):
    return m.Welcome(federation="f", assignment=assigned)


def announced(cohort="g1.r1", *, purpose=Purpose.FIT, participants=None, seed=3, deadline_s=DEADLINE_S, order=0):
    return m.RoundAnnounced(
        group=GroupId(cohort.partition(".")[0]),
        cohort=CohortId(cohort),
        purpose=purpose,
        model=MODEL,
        participants=participants,
        budget=FitBudget(epochs=2, max_samples=9),
        seed=seed,
        deadline_in_s=deadline_s,
        order=order,
    )


def receipt(cohort="g1.r1", refusal=None):
    return m.Receipt(cohort=CohortId(cohort), refusal=refusal, reason="" if refusal is None else "because")


def done(body=b"delta", local=None, lost=None):
    trained = Trained(body, BlobHash(hashlib.sha256(body).hexdigest()), samples=7, local=local, lost=lost)
    return JobDone(METRICS, trained)


def target(group="g1", body=b"frame"):
    return m.TargetAnnounced(group=GroupId(group), version=ModelVersion(3), model=MODEL, reason="3 rounds")


class Device:
    """A machine and its clock."""

    def __init__(self, settings=None):
        given = settings or AgentSettings(retry_s=RETRY_S, retry_limit_s=LIMIT_S, poll_s=None)
        self.machine = AgentMachine(ME, "schema", PROFILE, given)
        self.now = 0.0

    def start(self):
        return self.machine.start(self.now)

    def hear(self, message, body=b""):
        return self.machine.receive(message, memoryview(body), self.now)

    def at(self, now):
        self.now = now
        return self.machine.tick(now)

    def finish(self, cohort="g1.r1", given=None):
        return self.machine.job_done(CohortId(cohort), given or done(), self.now)


def joined(**settings):
    device = Device(AgentSettings(**settings) if settings else None)
    device.start()
    assert device.hear(welcome(assignment())) == (Follow(GroupId("g1")),)
    return device


def training(**settings):
    device = joined(**settings)
    (started,) = device.hear(announced(), b"model")
    assert isinstance(started, StartJob)
    return device


def delivered(body=b"delta"):
    device = training()
    (sent,) = device.finish(given=done(body))
    return device, sent


# -- joining


def test_it_says_hello_until_it_is_welcome():
    device = Device()
    (hello,) = device.start()
    assert hello == Send(m.Hello(schema_hash="schema", profile=PROFILE, visits=True))
    assert device.machine.due_at == 5
    assert device.at(4.9) == ()
    assert device.at(5) == (hello,)
    assert device.machine.due_at == 15  # twice as long
    assert device.at(15) == (hello,)
    assert device.machine.due_at == 30  # the limit
    assert device.at(30) == (hello,)
    assert device.machine.due_at == 45
    assert device.hear(welcome(assignment())) == (Follow(GroupId("g1")),)
    assert device.machine.stage is AgentStage.JOINED
    assert device.machine.due_at is None


def test_without_a_place_yet_it_asks_again_now_and_then():
    device = Device()
    (hello,) = device.start()
    assert device.hear(welcome()) == ()
    assert device.machine.due_at == LIMIT_S
    assert device.at(LIMIT_S) == (hello,)  # the word that groups were formed may be lost
    assert device.hear(m.Assigned(assignment=assignment())) == (Follow(GroupId("g1")),)
    assert device.machine.due_at is None


def test_on_a_network_that_loses_nothing_it_says_everything_once():
    device = Device(AgentSettings(retry_s=None))
    device.start()
    assert device.machine.due_at is None
    assert device.at(1e9) == ()


def test_a_repeated_welcome_or_assignment_changes_nothing():
    device = joined()
    assert device.hear(welcome(assignment())) == ()
    assert device.hear(m.Assigned(assignment=assignment())) == ()
    assert device.hear(welcome()) == ()


def test_an_assignment_that_is_older_than_the_last_one_is_ignored():
    device = Device()
    device.start()
    device.hear(m.Assigned(assignment=assignment("g2"), order=7))
    assert device.hear(m.Assigned(assignment=assignment("g1"), order=6)) == ()
    assert device.hear(m.Welcome(federation="f", assignment=assignment("g1"), order=5)) == ()
    assert device.machine.assignment == assignment("g2")
    assert device.hear(m.Assigned(assignment=assignment("g3"), order=8)) == (Follow(GroupId("g3")),)


def test_a_coordinator_that_counts_anew_is_believed_after_a_greeting():
    device = Device()
    device.start()
    device.hear(m.Assigned(assignment=assignment("g2"), order=700))
    device.start()
    assert device.hear(m.Assigned(assignment=assignment("g1"), order=3)) == (Follow(GroupId("g1")),)


def test_a_coordinator_whose_log_was_put_back_gets_its_rounds_done_again():
    device = Device()
    device.start()
    device.hear(m.Welcome(federation="f", assignment=assignment(), order=9))
    device.hear(announced("g1.r5", order=90))
    device.finish("g1.r5")
    device.hear(receipt("g1.r5"))
    device.start()
    device.hear(m.Welcome(federation="f", assignment=assignment(), order=95))
    assert device.hear(announced("g1.r3")) == ()
    device.start()
    device.hear(m.Welcome(federation="f", assignment=assignment(), order=40))
    (started,) = device.hear(announced("g1.r3"))
    assert started.job.cohort == "g1.r3"
    device.finish("g1.r3")
    device.hear(receipt("g1.r3"))
    assert isinstance(device.hear(announced("g1.r5"))[0], StartJob)


@pytest.mark.parametrize("answer", [m.Assigned, functools.partial(m.Welcome, federation="f")])
def test_a_round_that_comes_before_the_answer_that_explains_it_is_done_after_all(answer):
    device = Device()
    device.start()
    device.hear(m.Welcome(federation="f", assignment=assignment(), order=9))
    device.hear(announced("g1.r5", order=90))
    device.finish("g1.r5")
    device.hear(receipt("g1.r5"))
    device.start()
    assert device.hear(announced("g1.r5")) == ()
    (started,) = device.hear(answer(assignment=assignment(), order=40))
    assert started.job.cohort == "g1.r5"
    device.start()
    device.hear(answer(assignment=assignment(), order=41))
    assert device.machine.job_done(CohortId("g1.r5"), done(), device.now), "it went on with it"


def test_another_tier_for_the_same_group_is_followed_without_stopping():
    device = training()
    assert device.hear(m.Assigned(assignment=assignment("g1", "large"))) == (Follow(GroupId("g1")),)
    assert device.machine.assignment.tier.name == "large"


@pytest.mark.parametrize(
    ("message", "stage", "leave"),
    [
        (m.Refused(refusal=Refusal.WRONG_TASK, reason="no"), AgentStage.REFUSED, Leave("no", refused=True)),
        (m.Dismissed(reason="over"), AgentStage.DISMISSED, Leave("over", refused=False)),
    ],
)
def test_refused_or_dismissed_it_stops_and_hears_nothing_more(message, stage, leave):
    device = training()
    assert device.hear(message) == (StopJob(CohortId("g1.r1")), leave)
    assert device.machine.stage is stage
    assert device.machine.due_at is None
    assert device.hear(announced("g1.r2")) == ()
    assert device.hear(welcome(assignment("g2"))) == ()
    assert device.start() == ()
    assert device.finish() == ()
    assert device.at(1e9) == ()


OTHER = HardwareProfile.declared(mains_bool=0.0)
NEWS = Send(m.Hello(schema_hash="schema", profile=OTHER, visits=True))


def test_other_hardware_is_told_once_and_by_every_later_hello():
    device = training()
    assert device.machine.report(OTHER) == (NEWS,)
    # it is no greeting: nobody insists on an answer, and the work goes on
    assert device.machine.due_at == DEADLINE_S
    assert device.hear(welcome(assignment())) == ()
    assert device.start()[0] == NEWS


def test_other_hardware_while_it_greets_takes_the_place_of_what_it_says_again():
    device = Device()
    device.start()
    assert device.machine.report(OTHER) == (NEWS,)
    assert device.at(5) == (NEWS,)


def test_who_has_left_reports_nothing():
    device = joined()
    device.hear(m.Dismissed(reason="over"))
    assert device.machine.report(OTHER) == ()


def test_a_message_of_no_known_class_is_ignored():
    assert joined().hear(m.CoordinatorMessage()) == ()


# -- rounds


def test_a_round_becomes_a_job():
    device = joined()
    (started,) = device.hear(announced(), b"model")
    job = started.job
    assert (job.cohort, job.purpose, job.tier, job.base) == ("g1.r1", Purpose.FIT, tier(), MODEL)
    assert (bytes(job.model), job.budget, job.local) == (b"model", FitBudget(epochs=2, max_samples=9), None)
    assert job.seed == derive_seed(3, ME)
    assert device.machine.due_at == DEADLINE_S


def test_a_round_of_another_group_or_before_a_place_is_not_ours():
    device = Device()
    device.start()
    assert device.hear(announced()) == ()
    device.hear(welcome(assignment()))
    assert device.hear(announced("g2.r1")) == ()


@pytest.mark.parametrize("cohort", ["g1", "g1.r", "g1.r0", "g1.r01", "g1.r-1", "g1.r²", "g1.x.r1", "g1.r" + "9" * 5000])
def test_a_round_that_has_no_rounds_name_is_ignored(cohort):
    device = training()
    assert device.hear(msgspec.structs.replace(announced(), cohort=CohortId(cohort))) == ()
    assert isinstance(device.finish()[0], Send)


def test_a_round_without_us_stops_the_older_one():
    device = training()
    others = (DeviceId("a"), DeviceId("b"), DeviceId("c"))
    assert device.hear(announced("g1.r2", participants=others)) == (StopJob(CohortId("g1.r1"), overdue=True),)
    (started,) = device.hear(announced("g1.r3", participants=(*others, ME)))
    assert isinstance(started, StartJob)


def test_a_newer_round_stops_the_older_job():
    device = training()
    stopped, started = device.hear(announced("g1.r2"))
    assert stopped == StopJob(CohortId("g1.r1"), overdue=True)
    assert started.job.cohort == "g1.r2"
    assert device.finish("g1.r1") == ()  # what the stopped job still gives is ignored
    assert device.machine.job_failed(CohortId("g1.r1"), "late", device.now) == ()
    (sent,) = device.finish("g1.r2")
    assert sent.message.cohort == "g1.r2"


def test_an_older_round_that_arrives_late_is_ignored():
    device = joined()
    device.hear(announced("g1.r10"))
    assert device.hear(announced("g1.r9")) == ()
    device.finish("g1.r10")
    device.hear(receipt("g1.r10"))
    assert device.hear(announced("g1.r9")) == ()
    assert device.hear(announced("g1.r10")) == ()


def test_at_the_deadline_the_job_stops_and_nothing_is_sent():
    device = training()
    assert device.at(99.9) == ()
    assert device.at(100) == (StopJob(CohortId("g1.r1"), overdue=True),)
    assert device.finish() == ()
    assert device.machine.due_at is None


def test_a_round_announced_again_after_its_job_was_stopped_is_done_after_all():
    device = training()
    device.at(100)  # by our clock it was over, but the coordinator was down and has time left
    (started,) = device.hear(announced(), b"model")
    assert started.job.cohort == "g1.r1"


def test_announced_again_while_it_runs_a_round_has_the_time_that_is_left_by_the_coordinators_clock():
    device = training()
    device.now = 90.0
    assert device.hear(announced(deadline_s=50.0)) == ()
    assert device.machine.due_at == 140
    assert device.at(100) == ()
    assert device.at(140) == (StopJob(CohortId("g1.r1"), overdue=True),)


# -- delivering


def test_an_update_names_what_it_is():
    _, sent = delivered(b"delta")
    assert sent.body == b"delta"
    assert sent.message == m.UpdateSent(
        cohort=CohortId("g1.r1"),
        base=MODEL,
        blob=BlobHash(hashlib.sha256(b"delta").hexdigest()),
        samples=7,
        metrics=METRICS,
    )


def test_an_evaluation_has_no_body():
    device = joined()
    device.hear(announced(purpose=Purpose.EVALUATE))
    (sent,) = device.finish(given=JobDone(METRICS))
    assert sent == Send(m.EvaluationSent(cohort=CohortId("g1.r1"), base=MODEL, metrics=METRICS))
    assert device.at(5) == (sent,)


def test_an_update_is_repeated_byte_for_byte_until_the_receipt():
    device, sent = delivered()
    assert device.at(5) == (sent,)
    assert device.at(14) == ()
    assert device.at(15) == (sent,)
    assert device.at(30) == (sent,)
    assert device.hear(receipt("g1.r7")) == ()
    assert device.at(45) == (sent,)  # that was another cohort's
    assert device.hear(receipt()) == ()
    assert device.machine.due_at is None
    assert device.at(1e9) == ()


def test_asked_again_before_the_receipt_it_sends_the_same_bytes_and_after_it_nothing():
    device, sent = delivered()
    assert device.hear(announced()) == (sent,)  # the coordinator died before it had it in its log
    assert device.hear(announced(seed=99)) == (sent,)
    device.hear(receipt())
    assert device.hear(announced()) == ()


@pytest.mark.parametrize("refusal", [Refusal.LATE, Refusal.MALFORMED, Refusal.WRONG_BASE, Refusal.NOT_SELECTED])
def test_a_refusal_ends_the_repetition(refusal):
    device, _ = delivered()
    assert device.hear(receipt(refusal=refusal)) == ()
    assert device.machine.due_at is None
    assert device.hear(announced()) == ()


def test_a_coordinator_that_does_not_know_us_is_greeted_again():
    device, _ = delivered()
    (hello,) = device.hear(receipt(refusal=Refusal.UNKNOWN_DEVICE))[:1]
    assert isinstance(hello.message, m.Hello)
    assert device.machine.stage is AgentStage.JOINING
    assert device.at(5)[0] == hello


def test_a_newer_round_ends_the_repetition_of_an_older_update():
    device, _ = delivered()
    (started,) = device.hear(announced("g1.r2"))
    assert started.job.cohort == "g1.r2"
    assert device.machine.due_at == DEADLINE_S
    assert device.hear(receipt("g1.r1")) == ()


def test_a_job_that_failed_is_declined_and_declined_again_when_asked_again():
    device = training()
    refused = device.machine.job_failed(CohortId("g1.r1"), "no memory", device.now)
    assert refused == (Send(m.TaskRefused(cohort=CohortId("g1.r1"), reason="no memory")),)
    assert device.machine.due_at is None
    assert device.hear(announced()) == refused  # the coordinator may have died before it knew
    assert device.finish() == ()


def test_back_from_a_broken_connection_it_greets_and_delivers_and_insists_on_both():
    device, sent = delivered()
    device.now = 50.0
    hello, follow, again = device.start()
    assert isinstance(hello.message, m.Hello)
    assert (follow, again) == (Follow(GroupId("g1")), sent)
    device.hear(receipt())
    assert hello in device.at(55)  # else the coordinator would go on thinking that it is lost
    device.hear(welcome(assignment()))
    assert device.machine.due_at is None


def test_back_without_anything_to_deliver_it_greets_and_follows():
    device = joined()
    hello, follow = device.start()
    assert isinstance(hello.message, m.Hello)
    assert follow == Follow(GroupId("g1"))


# -- groups and targets


def test_moved_to_another_group_it_stops_and_follows_that():
    device = training()
    moved = device.hear(m.Assigned(assignment=assignment("g2")))
    assert moved == (StopJob(CohortId("g1.r1")), Follow(GroupId("g2")))
    assert device.hear(announced("g1.r2")) == ()
    (started,) = device.hear(announced("g2.r1"))
    assert started.job.cohort == "g2.r1"


def test_a_target_is_kept_and_ends_the_work_for_the_group():
    device = training()
    stopped, kept = device.hear(target(), b"frame")
    assert stopped == StopJob(CohortId("g1.r1"))
    assert kept == KeepTarget(GroupId("g1"), ModelVersion(3), MODEL, b"frame", "3 rounds")
    assert device.hear(target("g2"), b"frame") == ()


def test_a_target_before_a_place_is_not_ours():
    device = Device()
    device.start()
    assert device.hear(target(), b"frame") == ()


# -- asking where it stands

POLL_S, FAREWELL_S = 20.0, 90.0
ASKING = {"retry_s": RETRY_S, "retry_limit_s": LIMIT_S, "poll_s": POLL_S, "farewell_s": FAREWELL_S}


def asked(actions):
    """Tell whether a device says hello and wants what its group was told last."""
    hello, *rest = actions
    return isinstance(hello.message, m.Hello) and rest == [Follow(GroupId("g1"))]


def test_told_nothing_it_asks_where_it_stands_and_what_its_group_was_told():
    device = joined(**ASKING)
    assert device.machine.due_at == POLL_S
    assert device.at(POLL_S - 1) == ()
    assert asked(device.at(POLL_S))
    assert device.machine.due_at == POLL_S + RETRY_S  # the question is repeated like any other
    (hello,) = device.at(POLL_S + RETRY_S)
    assert isinstance(hello.message, m.Hello)
    device.hear(welcome(assignment()))
    assert device.machine.due_at == device.now + POLL_S


def test_whoever_works_or_delivers_does_not_ask():
    device = training(**ASKING)
    assert device.machine.due_at == DEADLINE_S
    device.now = 50.0
    device.finish()
    assert device.machine.due_at == 50.0 + RETRY_S
    device.hear(receipt())
    assert device.machine.due_at == 50.0 + POLL_S
    assert asked(device.at(50.0 + POLL_S))


def test_after_a_job_that_came_to_nothing_it_waits_before_it_asks():
    device = training(**ASKING)
    assert device.at(DEADLINE_S) == (StopJob(CohortId("g1.r1"), overdue=True),)
    assert device.machine.due_at == DEADLINE_S + POLL_S


def test_rounds_without_us_are_no_word_to_us():
    device = joined(**ASKING)
    for number in range(1, 4):
        device.now = 5.0 * number
        assert device.hear(announced(f"g1.r{number}", participants=(DeviceId("a"),))) == ()
    assert device.machine.due_at == POLL_S  # the coordinator may believe that we are lost


def test_the_answer_puts_it_into_its_group():
    device = joined(**ASKING)
    device.at(POLL_S)
    assert device.hear(welcome(assignment("g2"))) == (Follow(GroupId("g2")),)
    (started,) = device.hear(announced("g2.r4"))
    assert started.job.cohort == "g2.r4"


def test_with_its_target_it_asks_only_the_coordinator():
    device = joined(**ASKING)
    device.hear(target(), b"frame")
    (hello,) = device.at(POLL_S)
    assert isinstance(hello.message, m.Hello)


def test_a_declined_round_is_declined_again_when_it_asks():
    device = training(**ASKING)
    refused = device.machine.job_failed(CohortId("g1.r1"), "no memory", device.now)
    assert asked(device.at(POLL_S))
    assert device.hear(announced()) == refused  # it has no receipt, so it may be lost


# -- the end


def dismissed():
    return m.Dismissed(reason="over", target=MODEL)


def test_with_its_target_it_leaves_when_dismissed():
    device = joined()
    device.hear(target(), b"frame")
    assert device.hear(dismissed()) == (Leave("over", refused=False),)


def test_dismissed_without_its_target_it_stops_its_work_and_asks_for_it():
    device = training(**ASKING)
    stopped, *rest = device.hear(dismissed())
    assert stopped == StopJob(CohortId("g1.r1"))
    assert asked(rest)
    assert device.hear(dismissed()) == ()
    device.hear(welcome(assignment()))
    (hello,) = device.at(RETRY_S)  # the welcome alone is not what it waits for
    assert isinstance(hello.message, m.Hello)
    kept, left = device.hear(target(), b"frame")
    assert isinstance(kept, KeepTarget)
    assert left == Leave("over", refused=False)
    assert device.machine.due_at is None


def test_with_the_target_of_a_group_that_it_has_left_it_still_asks_for_its_own():
    device = joined(**ASKING)
    device.hear(msgspec.structs.replace(target(), model=BlobHash("1" * 64)), b"early")
    assert asked(device.hear(dismissed()))
    device.hear(welcome(assignment("g2")))
    kept, left = device.hear(target("g2"), b"frame")
    assert (kept.group, left) == ("g2", Leave("over", refused=False))


def test_a_target_that_never_comes_is_not_waited_for_for_ever():
    device = joined(**ASKING)
    device.hear(dismissed())
    while device.machine.stage is AgentStage.JOINED:
        last = device.at(device.machine.due_at)
    assert device.now == FAREWELL_S
    assert last == (Leave("over", refused=False),)


def test_on_a_network_that_loses_nothing_it_waits_for_its_target():
    device = joined(retry_s=None, poll_s=None)
    assert device.hear(dismissed()) == ()
    assert device.machine.due_at is None
    assert device.hear(target(), b"frame")[1:] == (Leave("over", refused=False),)


# -- tensors that stay on the device

LOCAL = Weights(Layout((TensorSpec(name="n", shape=(2,), role=Role.LOCAL),)), np.ones(2, np.float32))


def test_local_tensors_come_back_with_the_next_round_of_the_group_and_are_never_sent():
    device = training()
    (sent,) = device.finish(given=done(local=LOCAL))
    assert LOCAL.buffer.tobytes() not in sent.body
    (started,) = device.hear(announced("g1.r2"))
    assert started.job.local is LOCAL
    device.hear(m.Assigned(assignment=assignment("g2")))
    (started,) = device.hear(announced("g2.r1"))
    assert started.job.local is None  # another group's model


LOST = np.array([1, 2, 3, 4], np.float32)


def lost_of(actions):
    (started,) = (action for action in actions if isinstance(action, StartJob))
    return started.job.lost


def having_lost():
    """Return a device that has sent an update which lost something, and what it says to the next round."""
    device = training()
    device.finish(given=done(lost=LOST))
    return device, msgspec.structs.replace(announced("g1.r2"), made_by=CohortId("g1.r1"))


def test_what_coding_lost_comes_back_with_the_next_round_of_the_group():
    device, following = having_lost()
    device.hear(receipt())
    assert lost_of(device.hear(following, b"model")) is LOST


def test_a_round_without_us_settles_what_coding_lost_too():
    device, following = having_lost()
    device.hear(receipt())
    device.hear(msgspec.structs.replace(following, participants=(DeviceId("other"),)), b"model")
    third = msgspec.structs.replace(announced("g1.r3"), made_by=CohortId("g1.r2"))
    assert lost_of(device.hear(third, b"model")) is LOST


@pytest.mark.parametrize(
    ("refusal", "said"),
    [(Refusal.MALFORMED, {}), (Refusal.LATE, {"left_out": (ME,)}), (None, {"made_by": None})],
    ids=["malformed", "late", "abandoned"],
)
def test_of_an_update_that_does_not_count_nothing_is_kept(refusal, said):
    device, following = having_lost()
    device.hear(receipt(refusal=refusal))
    assert lost_of(device.hear(msgspec.structs.replace(following, **said), b"model")) is None


def test_what_coding_lost_for_a_group_that_it_leaves_is_dropped():
    device, following = having_lost()
    device.hear(receipt())
    device.hear(m.Assigned(assignment=assignment("g2"), order=1))
    device.hear(m.Assigned(assignment=assignment("g1"), order=2))
    assert lost_of(device.hear(msgspec.structs.replace(following, order=2), b"model")) is None


def test_what_coding_lost_outlives_a_coordinator_whose_log_was_put_back():
    device, following = having_lost()
    device.hear(receipt())
    (*_, started) = device.hear(msgspec.structs.replace(following, order=7), b"model")
    assert started.job.lost is LOST
    device.finish("g1.r2", done(lost=2 * LOST))
    device.start()
    device.hear(welcome(assignment()))  # of order 0
    assert lost_of(device.hear(following, b"model")) is LOST, "the round is done again"


def test_an_update_that_the_coordinator_forgot_does_not_count_in_a_round_of_the_same_name():
    device, following = having_lost()
    device.hear(receipt())
    device.hear(msgspec.structs.replace(following, order=7), b"model")
    device.finish("g1.r2", done(lost=2 * LOST))
    device.start()
    device.hear(welcome(assignment()))  # of order 0
    device.hear(msgspec.structs.replace(following, participants=(DeviceId("other"),)), b"model")
    third = msgspec.structs.replace(announced("g1.r3"), made_by=CohortId("g1.r2"))
    assert lost_of(device.hear(third, b"model")) is LOST


def test_local_tensors_of_a_stopped_job_are_not_kept():
    device = training()
    device.hear(announced("g1.r2"))
    device.finish("g1.r1", done(local=LOCAL))
    (_, started) = device.hear(announced("g1.r3"))
    assert started.job.local is None


# -- whatever comes

groups = st.sampled_from(["g1", "g1", "g2"])
cohorts = st.sampled_from(["g1.r1", "g1.r1", "g1.r2", "g1.r3", "g2.r1", "g2.r2"])
odd_cohorts = st.sampled_from(["", "g1", "g1.r", "g1.rx", "g1.r²", "g1.r" + "9" * 5000, "g2.r-1"])
assigned = st.builds(assignment, groups, st.sampled_from(["small", "large"]))
announcements = st.builds(
    announced,
    cohorts,
    seed=st.integers(0, 1),
    purpose=st.sampled_from([Purpose.FIT, Purpose.FIT, Purpose.EVALUATE]),
    participants=st.sampled_from([None, None, None, (ME,), ()]),
    deadline_s=st.sampled_from([30.0, 30.0, 1.0, 0.0]),
)
heard = st.one_of(
    announcements,
    announcements,
    st.builds(announced, odd_cohorts),
    st.builds(receipt, cohorts | odd_cohorts, st.sampled_from([None, None, None, *Refusal])),
    st.builds(receipt, cohorts),
    st.builds(welcome, st.none() | assigned),
    st.builds(lambda one: m.Assigned(assignment=one), assigned),
    st.builds(lambda own, also: m.Assigned(assignment=own, also=(also,)), assigned, assigned),
    st.builds(lambda round_of: msgspec.structs.replace(round_of, guests=(ME,)), announcements),
    st.builds(target, groups),
)
finish = st.just("finish")
steps = st.one_of(heard, heard, finish, finish, st.sampled_from(["start", "fail"]), st.floats(0, 40))


class Storm:
    """A device in a storm: jobs give bodies that depend on everything they were given."""

    def __init__(self):
        self.device = Device(AgentSettings(retry_s=RETRY_S, retry_limit_s=LIMIT_S, poll_s=20.0))
        self.jobs = []
        self.bodies = {}
        self.running = None

    def take(self, step):
        if isinstance(step, m.Message):
            self.perform(self.device.hear(step, b"model"))
        elif isinstance(step, float):
            self.perform(self.device.at(self.device.now + step))
        elif step == "start":
            self.perform(self.device.start())
        elif self.jobs:  # any job that ever ran may still say something
            job = self.jobs[0 if step == "fail" else -1]
            if self.running == job.cohort:
                self.running = None  # what it gave may have to wait for the receipt of another before it is sent
            if step == "fail":
                self.perform(self.device.machine.job_failed(job.cohort, "broken", self.device.now))
            else:
                body = repr((job, len(self.jobs))).encode()
                local = msgspec.structs.replace(done(body).trained, local=LOCAL)
                self.perform(self.device.machine.job_done(job.cohort, JobDone(METRICS, local), self.device.now))

    def perform(self, actions):
        for action in actions:
            match action:
                case StartJob():
                    assert self.running is None, "two jobs at once"
                    self.running = action.job.cohort
                    self.jobs.append(action.job)
                case StopJob():
                    assert self.running == action.cohort
                    self.running = None
                case Send(message=m.UpdateSent() | m.EvaluationSent() | m.TaskRefused()):
                    said = self.bodies.setdefault(action.message.cohort, action)
                    assert said == action, "two answers for one cohort"


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, min_size=20, max_size=60), st.lists(heard, max_size=5))
def test_no_storm_of_messages_raises_or_makes_it_answer_twice_in_two_ways(storm, after_the_end):
    storming = Storm()
    storming.take("start")
    storming.take(welcome(assignment()))
    for step in storm:
        storming.take(step)
        insisting = storming.device.machine.due_at is not None
        assert insisting or storming.running is None, "nobody would stop the job at its deadline"
    storming.take(m.Dismissed(reason="over"))
    for message in after_the_end:
        assert storming.device.hear(message) == ()
