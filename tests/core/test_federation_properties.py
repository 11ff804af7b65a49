"""What holds for every history of a federation, whatever devices, plugins and the clock do.

Hypothesis makes up histories: sensible ones, and inputs that make no sense, at any time. Beside the machine runs its
replay, which sees nothing but the log's bytes.
"""

from collections import Counter

import msgspec
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import decode_record, encode_record
from tierwise.core.federation import Federation, Rejected
from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId
from tierwise.core.metrics import Metric, add_metrics
from tierwise.core.state import CohortState, Phase, Stage

from .drive import DEADLINE_S, DESCRIPTION, GRACE_S, HITS, TASK, TICKS_LIMIT, answer, blob, profile, settings, tier

DEVICES = [DeviceId(f"d{number}") for number in range(10)]
NO_HITS = {name: Metric(sum=0.0, count=0) for name in HITS}
STEPS_LIMIT = 1000
"""Of a federation whose devices have all gone silent: far more than its groups' last rounds take."""

devices = st.sampled_from([*DEVICES, DeviceId("stranger"), DeviceId("no/name")])
cohorts = st.builds(
    lambda group, number: CohortId(f"{group}.r{number}"),
    st.sampled_from(["g1", "g2", "g3", "g9", ""]),
    st.integers(0, 6),
)
flops = st.sampled_from([1e9, 2e9, 4e9, 2.5e3])
reasons = st.sampled_from(["", "why not", "größer"])
metrics = st.one_of(
    st.just(HITS),
    st.dictionaries(
        st.sampled_from(["accuracy", "log_loss", "f1"]),
        st.builds(Metric, sum=st.floats(), count=st.integers(-1, 20)),
        max_size=3,
    ),
)
blobs = st.builds(blob, st.sampled_from(["g1-0", "g2-0", "g1.r1-model", "x"]))

anything = st.one_of(
    st.builds(i.OpenFederation, settings=st.just(settings())),
    st.builds(
        i.EnrolDevice,
        device=devices,
        schema_hash=st.sampled_from([TASK.schema_hash, "", "f" * 64]),
        visits=st.booleans(),
    ),
    st.builds(i.ReportHardware, device=devices, profile=st.builds(profile, flops)),
    st.builds(i.LoseDevice, device=devices, reason=reasons),
    st.builds(i.RemoveDevice, device=devices, reason=reasons),
    st.builds(
        i.SubmitUpdate,
        device=devices,
        cohort=cohorts,
        base=blobs,
        blob=blobs,
        size_bytes=st.integers(0, 10**9),
        samples=st.sampled_from([1, 7, 2**31 - 1, 0, -1, 2**31]),
        metrics=metrics,
    ),
    st.builds(i.SubmitEvaluation, device=devices, cohort=cohorts, base=blobs, metrics=metrics),
    st.builds(i.DeclineTask, device=devices, cohort=cohorts, reason=reasons),
    st.builds(
        i.ReportFault,
        device=devices,
        cohort=st.none() | cohorts,
        refusal=st.just(e.Refusal.MALFORMED),
        reason=reasons,
    ),
    st.builds(i.ReleaseDevice, device=devices),
)


def wild_answers(order: str) -> st.SearchStrategy[i.Answer]:
    """Make answers that fit the order by chance at the most."""
    key = st.just(order)
    some = st.lists(devices, max_size=5).map(tuple)
    return st.one_of(
        st.builds(
            i.GroupsProposed,
            order=key,
            grouping=st.builds(
                Grouping, groups=st.lists(some, max_size=3).map(tuple), unplaced=st.dictionaries(devices, reasons)
            ),
        ),
        st.builds(
            i.PlacementsProposed,
            order=key,
            placed=st.dictionaries(devices, st.sampled_from([GroupId("g1"), GroupId("g9")]), max_size=3),
            unplaced=st.dictionaries(devices, reasons, max_size=3),
        ),
        st.builds(i.TierProposed, order=key, tier=st.just(tier()), model=blobs),
        st.builds(i.ParticipantsSelected, order=key, devices=some),
        st.builds(i.SelectionPostponed, order=key, reason=reasons),
        st.builds(i.CohortReduced, order=key, model=blobs, optimizer_state=st.none() | blobs),
        st.builds(i.ModelAdjusted, order=key, model=blobs),
        st.builds(i.ModelsExchanged, order=key, model=blobs),
        st.builds(i.ModelMeasured, order=key, metrics=metrics),
        st.builds(i.StopRuled, order=key, reason=st.none() | reasons),
        st.builds(i.PluginFailed, order=key, plugin=st.just("p"), reason=reasons),
    )


def contribution(cohort: CohortState, device: DeviceId) -> i.Input:
    """Make what a cohort wants of a device."""
    opened = cohort.opened
    if opened.purpose is not e.Purpose.FIT:
        metrics = HITS if opened.purpose is e.Purpose.EVALUATE else DESCRIPTION
        return i.SubmitEvaluation(device=device, cohort=opened.cohort, base=opened.model, metrics=metrics)
    return i.SubmitUpdate(
        device=device,
        cohort=opened.cohort,
        base=opened.model,
        blob=blob(f"{device}/{opened.cohort}"),
        size_bytes=1000,
        samples=ord(device[-1]),  # not the same for all
        metrics=HITS,
    )


class Histories(RuleBasedStateMachine):
    """A federation's machine, its log, and the replay of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Federation()
        self.replay = Federation()
        self.log: list[bytes] = []
        self.events: list[e.Event] = []
        self.now = 0.0
        self.settled = True
        self.asked: dict[str, c.Command] = {}

    # -- the driver's step

    def give(self, given: i.Input) -> int:
        """Decide, log, apply; return how many events that gave."""
        try:
            decided = self.machine.decide(given, self.now)
        except Rejected:
            decided = ()
        assert self.machine.state == self.replay.state, f"deciding {given} changed the state"
        for record in decided:
            assert record.sequence == len(self.log)
            assert record.at >= self.machine.latest_at
            data = encode_record(record)
            read = decode_record(data)
            assert read == record
            self.log.append(data)
            self.events.append(self.machine.apply(record))
            self.replay.apply(read)
        return len(decided)

    def step(self, given: i.Input, *, settle: bool = True) -> None:
        calm = self.settled and not self.machine.stirred
        before = list(self.machine.outstanding()) if calm else []
        self.give(given)
        due_at = self.machine.due_at
        if calm and not self.machine.stirred and (due_at is None or self.now < due_at):
            assert self.machine.decide(i.Tick(), self.now) == (), f"{given} stirs"
            assert list(self.machine.outstanding()) == before, f"{given} stirs"
        self.settled = False
        if settle:
            self.settle()

    def settle(self) -> None:
        for _ in range(TICKS_LIMIT):
            if not self.give(i.Tick()):
                self.settled, self.machine.stirred = True, False
                return
        raise AssertionError(f"ticking does not come to an end: {self.events[-5:]}")

    def orders(self) -> list[c.Order]:
        return [command for command in self.machine.outstanding() if isinstance(command, c.Order)]

    # -- what happens

    @initialize(
        min_devices=st.sampled_from([None, 3, 6, 9]),
        window_s=st.sampled_from([None, 60.0]),
        joining=st.sampled_from([9, 8, 7, 6, 5, 4, 3, 2, 0]),
        forming=st.sampled_from([True, True, True, False]),
        exchanges=st.booleans(),
        tests=st.booleans(),
        standardise=st.booleans(),
        downward=st.booleans(),
    )
    def open(
        self,
        min_devices: int | None,
        window_s: float | None,
        joining: int,
        forming: bool,
        exchanges: bool,
        tests: bool,
        standardise: bool,
        downward: bool,
    ) -> None:
        if min_devices is None:
            window_s = 60.0
        given = settings(min_devices=min_devices, window_s=window_s, standardise=standardise, downward=downward)
        self.step(i.OpenFederation(settings=given, exchanges=exchanges, tests=tests))
        for device in DEVICES[:joining]:
            self.join(device, 1e9)
        if forming:  # most histories should not spend themselves on the beginning
            self.now += 60.0
            self.settle()
            for _ in range(4):
                for order in self.orders():
                    self.step(answer(order))
            if downward:  # nor before there are guests
                self.everybody_does_what_it_should(enough=False)

    @rule(device=devices, flops=flops)
    def join(self, device: DeviceId, flops: float) -> None:
        self.step(i.EnrolDevice(device=device, schema_hash=TASK.schema_hash, visits=True))
        self.step(i.ReportHardware(device=device, profile=profile(flops)))

    @rule(given=anything, settle=st.booleans())
    def anything_comes(self, given: i.Input, settle: bool) -> None:
        self.step(given, settle=settle)

    @rule(lost=st.lists(st.sampled_from(DEVICES), max_size=4))
    def devices_fall_silent(self, lost: list[DeviceId]) -> None:
        for device in lost:
            self.step(i.LoseDevice(device=device, reason="silent"))

    @precondition(lambda self: any(device.group for device in self.machine.state.devices.values()))
    @rule(data=st.data(), leaving=st.sampled_from(["lost", "removed", "back", "back"]))
    def a_member_comes_or_goes(self, data: st.DataObject, leaving: str) -> None:
        members = sorted(name for name, device in self.machine.state.devices.items() if device.group is not None)
        device = data.draw(st.sampled_from(members))
        match leaving:
            case "lost":
                self.step(i.LoseDevice(device=device, reason="silent"))
            case "removed":
                self.step(i.RemoveDevice(device=device, reason="sold"))
            case "back":
                self.step(i.EnrolDevice(device=device, schema_hash=TASK.schema_hash, visits=True))

    @rule(choice=st.integers(0, 9), settle=st.booleans())
    def an_order_is_answered(self, choice: int, settle: bool) -> None:
        orders = self.orders()
        if orders:
            self.step(answer(orders[choice % len(orders)]), settle=settle)

    @precondition(lambda self: any(isinstance(order, c.SelectParticipants) for order in self.orders()))
    @rule(reason=reasons)
    def rounds_are_postponed(self, reason: str) -> None:
        for order in self.orders():
            if isinstance(order, c.SelectParticipants):
                self.step(i.SelectionPostponed(order=order.key, reason=reason))

    @rule()
    def all_orders_are_answered(self) -> None:
        for order in self.orders():
            self.step(answer(order))

    @rule(data=st.data(), current=st.sampled_from([False, False, True]))
    def an_order_is_answered_wildly(self, data: st.DataObject, current: bool) -> None:
        now = {order.key for order in self.orders()}  # few of them: such an answer ends a group or all
        keys = sorted(now if current else self.asked.keys() - now) or ["nothing"]
        self.step(data.draw(wild_answers(data.draw(st.sampled_from(keys)))))

    @precondition(lambda self: any(group.cohort for group in self.machine.state.groups.values()))
    @rule(data=st.data(), settle=st.booleans())
    def participants_deliver(self, data: st.DataObject, settle: bool) -> None:
        cohorts = [group.cohort for group in self.machine.state.groups.values() if group.cohort is not None]
        cohort = data.draw(st.sampled_from(cohorts))
        participants = cohort.opened.participants
        for device in participants[: len(participants) - data.draw(st.integers(0, 2))]:
            self.step(contribution(cohort, device), settle=settle)

    @rule(enough=st.booleans())
    def everybody_does_what_it_should(self, enough: bool) -> None:
        for group in self.machine.state.groups.values():
            if group.cohort is not None:
                for device in sorted(group.cohort.waiting):
                    self.step(contribution(group.cohort, device))
        for order in self.orders():
            stops = enough and isinstance(order, c.CheckStop)
            self.step(i.StopRuled(order=order.key, reason="enough") if stops else answer(order))

    @rule(seconds=st.sampled_from([0.0, 1.0, GRACE_S, DEADLINE_S, -5.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        self.settle()

    @rule()
    def time_comes(self) -> None:
        self.settle()
        if self.machine.due_at is not None:
            self.now = self.machine.due_at
            self.settle()

    @rule()
    def the_coordinator_is_killed_and_starts_again(self) -> None:
        self.machine = Federation()
        for data in self.log:
            self.machine.apply(decode_record(data))

    # -- what holds

    @invariant()
    def the_replay_is_the_same_machine(self) -> None:
        assert self.replay.state == self.machine.state
        assert list(self.replay.outstanding()) == list(self.machine.outstanding())
        assert self.replay.due_at == self.machine.due_at

    @invariant()
    def devices_and_groups_agree_on_who_is_where(self) -> None:
        state = self.machine.state
        membership = Counter(device for group in state.groups.values() for device in group.members)
        assert all(number == 1 for number in membership.values())
        for name, group in state.groups.items():
            assert all(state.devices[device].group == name for device in group.members)
        assert {name for name, device in state.devices.items() if device.group is not None} == set(membership)
        assert not set(state.devices) & set(state.removed)
        for newcomer in state.newcomers:
            assert state.devices[newcomer].group is None
            assert state.devices[newcomer].profile is not None

    @invariant()
    def who_can_be_grouped_is_known(self) -> None:
        state = self.machine.state
        assert state.ready == {name for name, device in state.devices.items() if device.ready}

    @invariant()
    def group_names_are_given_once(self) -> None:
        formed = [one.group for event in self.events if isinstance(event, e.GroupsFormed) for one in event.groups]
        assert len(formed) == len(set(formed))
        assert set(formed) == set(self.machine.state.groups)

    @invariant()
    def what_counts_is_what_was_accepted_once(self) -> None:
        accepted: dict[CohortId, dict[DeviceId, e.UpdateAccepted | e.EvaluationAccepted]] = {}
        survivors: dict[CohortId, tuple[DeviceId, ...]] = {}
        guests: dict[CohortId, tuple[DeviceId, ...]] = {}
        for event in self.events:
            match event:
                case e.RoundOpened():
                    guests[event.cohort] = event.guests
                case e.UpdateAccepted() | e.EvaluationAccepted():
                    assert event.cohort not in survivors
                    assert event.device not in accepted.setdefault(event.cohort, {})
                    accepted[event.cohort][event.device] = event
                case e.DeviceRemoved():
                    for cohort in accepted.keys() - survivors.keys():
                        accepted[cohort].pop(event.device, None)
                case e.CohortClosed():
                    assert event.survivors == tuple(sorted(accepted[event.cohort]))
                    assert len(event.survivors) >= MINIMUM
                    assert event.cohort not in survivors
                    survivors[event.cohort] = event.survivors
                case e.RoundClosed():
                    counted = [accepted[event.cohort][device] for device in survivors[event.cohort]]
                    assert event.devices == len(counted)
                    assert event.samples == sum(update.samples for update in counted)
                    members = [update.metrics for update in counted if update.device not in guests[event.cohort]]
                    shown = add_metrics(members) if len(members) >= MINIMUM else NO_HITS
                    assert event.metrics == shown

    @invariant()
    def rounds_and_versions_count_up(self) -> None:
        rounds: Counter[GroupId] = Counter()
        versions: Counter[GroupId] = Counter()
        finished: set[GroupId] = set()
        for event in self.events:
            match event:
                case e.RoundOpened():
                    rounds[event.group] += 1
                    assert (event.round, event.version) == (rounds[event.group], versions[event.group])
                    assert event.group not in finished
                    assert len(event.participants) >= MINIMUM
                case e.RoundClosed():
                    versions[event.group] += 1
                    assert event.version == versions[event.group]
                    assert event.round == rounds[event.group]
                case e.ModelExchanged():
                    assert event.version == versions[event.group]
                    assert event.teachers[event.group] == event.version
                    assert len(event.teachers) > 1
                    assert all(1 <= version <= versions[group] for group, version in event.teachers.items())
                case e.ModelTested():
                    assert event.version == versions[event.group]
                case e.GroupFinished():
                    assert event.group not in finished
                    assert event.version == versions[event.group]
                    finished.add(event.group)

    @invariant()
    def a_target_models_metrics_are_those_of_three_devices_at_least(self) -> None:
        evaluated: Counter[str] = Counter()
        for event in self.events:
            match event:
                case e.EvaluationAccepted():
                    evaluated[event.cohort.rpartition(".r")[0]] += 1
                case e.GroupFinished() if event.metrics:
                    assert evaluated[event.group] >= MINIMUM

    @invariant()
    def nobody_in_quarantine_takes_part_or_is_listened_to(self) -> None:
        inside: set[DeviceId] = set()
        for event in self.events:
            match event:
                case e.DeviceQuarantined():
                    inside.add(event.device)
                case e.DeviceReleased() | e.DeviceRemoved():
                    inside.discard(event.device)
                case e.RoundOpened():
                    assert not inside & set(event.participants)
                case e.UpdateAccepted() | e.EvaluationAccepted() | e.DeviceFaulted() | e.DeviceReturned():
                    assert event.device not in inside

    @invariant()
    def the_end_is_the_last_that_happens(self) -> None:
        ends = [isinstance(event, e.FederationFinished | e.FederationFailed) for event in self.events]
        assert sum(ends[:-1]) == 0
        assert self.machine.ended == (ends[-1:] == [True])
        groups = self.machine.state.groups.values()
        if self.settled and groups and all(group.phase is Phase.FINISHED for group in groups):
            assert self.machine.ended

    @invariant()
    def when_nothing_follows_the_next_due_time_is_to_come(self) -> None:
        if self.settled and self.machine.due_at is not None:
            assert self.machine.due_at > max(self.now, self.machine.latest_at)

    @invariant()
    def one_key_is_one_command(self) -> None:
        found = list(self.machine.outstanding())
        assert len(found) == len({command.key for command in found})
        for command in found:
            before = self.asked.setdefault(command.key, command)
            if isinstance(command, c.PlaceDevices):  # among other neighbours it is the same question
                assert isinstance(before, c.PlaceDevices)
                assert before.newcomers == command.newcomers
                assert before.groups.keys() == command.groups.keys()
                assert all(before.fleet[name] == command.fleet[name] for name in command.newcomers)
            else:
                assert before == command

    @invariant()
    def orders_can_be_carried_out(self) -> None:
        for order in self.orders():
            match order:
                case c.FormGroups():
                    assert len(order.fleet) >= MINIMUM
                case c.SelectParticipants():
                    assert len(order.candidates) >= MINIMUM
                    candidates = [self.machine.state.devices[device] for device in order.candidates]
                    assert all(device.group == order.group and device.available for device in candidates)
                    for name in order.guests:
                        self.can_be_a_guest(name, order.group)
                case c.PlaceDevices():
                    assert order.groups
                    assert order.newcomers
                case c.ReduceCohort():
                    assert len(order.contributions) >= MINIMUM
                    assert all(one.samples >= 1 for one in order.contributions)
                case c.ExchangeModels():
                    assert order.group in order.models
                    assert len(order.models) > 1

    def can_be_a_guest(self, name: DeviceId, group: GroupId) -> None:
        state = self.machine.state
        device = state.devices[name]
        assert state.opened.rounds.downward
        assert device.available
        assert device.visits
        own = state.groups[device.group]
        assert own.rank > state.groups[group].rank
        served = [one.tier for one in state.groups.values() if one.active and one.rank <= state.groups[group].rank]
        tiers = [*served, own.tier] if own.active else served
        rounds = [state.opened.rounds.limits.predict(tier.cost, device.profile).round_s for tier in tiers]
        assert sum(rounds) <= DEADLINE_S

    @invariant()
    def only_members_are_asked_for_what_is_not_training(self) -> None:
        for event in self.events:
            if isinstance(event, e.RoundOpened):
                assert set(event.guests) <= set(event.participants)
                assert not event.guests or event.purpose is e.Purpose.FIT
                assert len(set(event.participants) - set(event.guests)) >= MINIMUM

    @invariant()
    def no_round_waits_for_a_guest_that_cannot_be_reached(self) -> None:
        for group in self.machine.state.groups.values():
            if group.cohort is not None:
                for name in group.cohort.waiting.intersection(group.cohort.opened.guests):
                    assert self.machine.state.devices[name].available

    @invariant()
    def whoever_can_select_is_asked_unless_nothing_changed_since_it_said_no(self) -> None:
        asked = {order.group for order in self.orders() if isinstance(order, c.SelectParticipants)}
        tiering = any(group.phase is Phase.TIERING for group in self.machine.state.groups.values())
        for name, group in self.machine.state.groups.items():
            selects = group.phase is Phase.SELECTING and self.machine.state.reachable_count(group) >= MINIMUM
            selects = selects and not (tiering and self.machine.state.opened.rounds.downward)
            assert (name in asked) == (selects and group.waits_because is None)
            assert group.waits_because is None or group.phase is Phase.SELECTING

    @invariant()
    def blobs_that_commands_name_are_live(self) -> None:
        live = self.machine.live_blobs()
        for command in self.machine.outstanding():
            assert named_blobs(command) <= live

    def teardown(self) -> None:
        """Answer every order, and let devices do nothing but report: the federation comes to its end."""
        if self.machine.state.stage is Stage.UNOPENED:
            return
        self.settle()
        state = self.machine.state
        if state.stage is Stage.ENROLLING and state.opened.enrolment.window_s is None:
            return  # it waits for devices, as it was told
        for _ in range(STEPS_LIMIT):
            if self.machine.ended:
                break
            orders = self.orders()
            waiting = sorted(
                device for group in state.groups.values() if group.waits_because is not None for device in group.members
            )
            if orders:
                self.step(answer(orders[0]))
            elif waiting and self.machine.due_at is None:  # other hardware brings a postponed round on
                known = state.devices[waiting[0]].profile
                other = next(one for one in (profile(1e9), profile(2e9)) if one != known)
                self.step(i.ReportHardware(device=waiting[0], profile=other))
            else:
                assert self.machine.due_at is not None, f"nothing will ever happen again: {self.machine.state}"
                self.now = self.machine.due_at
                self.settle()
        assert self.machine.ended
        self.the_replay_is_the_same_machine()
        self.what_counts_is_what_was_accepted_once()
        assert all(isinstance(command, c.PublishTarget) for command in self.machine.outstanding())
        assert self.machine.due_at is None


def named_blobs(command: c.Command) -> set[BlobHash]:
    """Collect every blob that a command names, wherever in it."""
    match command:
        case c.ReduceCohort():
            state = set() if command.optimizer_state is None else {command.optimizer_state}
            return {command.model} | state | {one.blob for one in command.contributions}
        case c.PublishRound():
            return {command.opened.model}
        case c.ExchangeModels():
            return {peer.model for peer in command.models.values()}
        case c.MeasureModel() | c.StandardiseModel():
            return {command.model}
        case c.PublishTarget():
            return {command.model}
    fields = {field.name for field in msgspec.structs.fields(type(command))}
    assert not fields & {"model", "blob", "optimizer_state"}, f"{type(command).__name__} names blobs unseen here"
    return set()


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
