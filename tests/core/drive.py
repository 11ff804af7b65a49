"""A driver in miniature, and the plugins' answers: what the tests of the federation's machine are written with.

`Drive.give` does what a coordinator does, without a clock or a network: decide, log, apply, then tick until nothing
follows any more.
"""

import copy
import hashlib
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding import Rejected
from tierwise.core.federation import Federation
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, TierName
from tierwise.core.metrics import Metric, Metrics
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.standardising import names_of_sums
from tierwise.core.state import CohortState, DeviceState, GroupState, Phase
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, Tier
from tierwise.core.weights import Layout

C = TypeVar("C", bound=c.Command)

TASK = Task(name="digits", features=64, classes=("0", "1"))
DEADLINE_S, GRACE_S, WINDOW_S = 100.0, 30.0, 60.0
TICKS_LIMIT = 100
"""More consequences in a row than any test's federation has."""
HITS = {"accuracy": Metric(sum=8.0, count=10), "log_loss": Metric(sum=4.5, count=10)}


def blob(name: str) -> BlobHash:
    """Return an address as it looks in reality."""
    return BlobHash(hashlib.sha256(name.encode()).hexdigest())


DESCRIPTION = {name: Metric(sum=5.0, count=10) for name in names_of_sums(TASK.features)}


def settings(
    *,
    min_devices: int | None = None,
    window_s: float | None = WINDOW_S,
    seed: int = 7,
    standardise: bool = False,
    downward: bool = False,
) -> FederationSettings:
    """Return settings with round numbers."""
    return FederationSettings(
        name="test",
        task=msgspec.structs.replace(TASK, standardise=standardise),
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=min_devices, window_s=window_s),
        rounds=RoundSettings(deadline_s=DEADLINE_S, grace_s=GRACE_S, evaluation_deadline_s=50.0, downward=downward),
    )


def profile(flops: float = 1e9) -> HardwareProfile:
    """Return the hardware of a device; with less than 1e4, a round of any tier takes more than half the deadline."""
    return HardwareProfile.declared(cpu_flops=flops)


def tier(name: str = "small") -> Tier:
    """Return a tier of 16 parameters."""
    cost = Cost(parameters=16, fit_flops_per_sample=96, evaluate_flops_per_sample=32, bytes=1000, memory_bytes=4096)
    return Tier(name=TierName(name), learner="mlp", options={}, layout=Layout.of({"w": (16,)}), cost=cost)


def answer(order: c.Order) -> i.Answer:
    """Answer an order correctly: pairs of neighbours in one group, everybody selected, no end."""
    match order:
        case c.FormGroups():
            devices = sorted(order.fleet)
            cut = 3 if len(devices) >= 6 else len(devices)
            groups = tuple(tuple(part) for part in (devices[:cut], devices[cut:]) if part)
            return i.GroupsProposed(order=order.key, grouping=Grouping(groups=groups))
        case c.PlaceDevices():
            weakest = next(iter(order.groups))
            return i.PlacementsProposed(order=order.key, placed=dict.fromkeys(order.newcomers, weakest), unplaced={})
        case c.ChooseTier():
            return i.TierProposed(order=order.key, tier=tier(f"tier-{order.group}"), model=blob(f"{order.group}-0"))
        case c.SelectParticipants():
            return i.ParticipantsSelected(order=order.key, devices=(*order.candidates, *order.guests))
        case c.ReduceCohort():
            return i.CohortReduced(
                order=order.key, model=blob(f"{order.cohort}-model"), optimizer_state=blob(f"{order.cohort}-state")
            )
        case c.StandardiseModel():
            return i.ModelAdjusted(order=order.key, model=blob(order.key))
        case c.ExchangeModels():
            return i.ModelsExchanged(order=order.key, model=blob(order.key))
        case c.MeasureModel():
            return i.ModelMeasured(order=order.key, metrics=HITS)
        case c.CheckStop():
            return i.StopRuled(order=order.key, reason=None)
    raise AssertionError(f"no answer is known to {order}")


class Drive:
    """A federation's machine and its driver.

    Attributes
    ----------
    now
        Federation time, in seconds; tests move it.
    records
        The log.
    visits
        Whether devices that join can be guests.
    """

    def __init__(
        self, opened: FederationSettings | None = None, *, exchanges: bool = False, tests: bool = False
    ) -> None:
        self.machine = Federation()
        self.now = 0.0
        self.records: list[e.Record] = []
        self.visits = True
        if opened is not None:
            self.give(i.OpenFederation(settings=opened, exchanges=exchanges, tests=tests))

    # -- the driver's step

    def give(self, given: i.Input) -> list[e.Event]:
        """Give an input, then tick until nothing follows; return all events that came of it."""
        happened = self.give_alone(given)
        return happened + self.settle()

    def give_alone(self, given: i.Input) -> list[e.Event]:
        """Give an input, and do not ask what follows."""
        decided = self.machine.decide(given, self.now)
        self.records.extend(decided)
        return [self.machine.apply(record) for record in decided]

    def settle(self) -> list[e.Event]:
        """Tick until nothing follows."""
        happened: list[e.Event] = []
        for _ in range(TICKS_LIMIT):
            followed = self.give_alone(i.Tick())
            if not followed:
                return happened
            happened += followed
        raise AssertionError(f"ticking does not come to an end: {happened[-5:]}")

    def refusal(self, given: i.Input) -> Rejected:
        """Give an input that is to be rejected, see that nothing changes, and return the rejection."""
        before = copy.deepcopy(self.machine.state)
        try:
            decided = self.machine.decide(given, self.now)
        except Rejected as rejected:
            assert self.machine.state == before
            return rejected
        raise AssertionError(f"not rejected: {given} led to {decided}")

    def wait(self, seconds: float) -> list[e.Event]:
        """Let time go by, and return what it brings."""
        self.now += seconds
        return self.settle()

    # -- devices

    def enrol(self, *devices: str) -> list[e.Event]:
        """Let devices join, or come back."""
        return self._each(
            i.EnrolDevice(device=DeviceId(name), schema_hash=TASK.schema_hash, visits=self.visits) for name in devices
        )

    def report(self, device: str, flops: float = 1e9) -> list[e.Event]:
        """Let a device tell its hardware."""
        return self.give(i.ReportHardware(device=DeviceId(device), profile=profile(flops)))

    def join(self, *devices: str) -> list[e.Event]:
        """Let devices join and tell their hardware."""
        return [event for name in devices for event in (*self.enrol(name), *self.report(name))]

    def lose(self, *devices: str) -> list[e.Event]:
        """Let devices fall silent."""
        return self._each(i.LoseDevice(device=DeviceId(name), reason="silent") for name in devices)

    def remove(self, *devices: str) -> list[e.Event]:
        """Take devices out for good."""
        return self._each(i.RemoveDevice(device=DeviceId(name), reason="sold") for name in devices)

    def update(self, *devices: str, cohort: str = "g1.r1", samples: int = 10) -> list[e.Event]:
        """Let devices deliver updates to a cohort."""
        return self._each(self.submission(name, cohort=cohort, samples=samples) for name in devices)

    def evaluate(self, *devices: str, cohort: str, metrics: Metrics = HITS) -> list[e.Event]:
        """Let devices deliver evaluations to a cohort."""
        return self._each(
            i.SubmitEvaluation(device=DeviceId(name), cohort=CohortId(cohort), base=self.base(cohort), metrics=metrics)
            for name in devices
        )

    def describe(self, *devices: str, cohort: str = "g1.r1") -> list[e.Event]:
        """Let devices describe their features in an opening round."""
        return self.evaluate(*devices, cohort=cohort, metrics=DESCRIPTION)

    def submission(
        self,
        device: str,
        *,
        cohort: str = "g1.r1",
        samples: int = 10,
        base: BlobHash | None = None,
        metrics: Metrics | None = None,
    ) -> i.SubmitUpdate:
        """Make a good update, or one that is bad in what is given."""
        return i.SubmitUpdate(
            device=DeviceId(device),
            cohort=CohortId(cohort),
            base=self.base(cohort) if base is None else base,
            blob=blob(f"{device}/{cohort}"),
            size_bytes=1000,
            samples=samples,
            metrics=HITS if metrics is None else metrics,
        )

    def base(self, cohort: str) -> BlobHash:
        """Return the model that a cohort was given; any, if there has been no such cohort."""
        opened = (event for event in self.events if isinstance(event, e.RoundOpened) and event.cohort == cohort)
        return next((event.model for event in opened), blob("no model"))

    # -- plugins

    def answer(self, kind: type[c.Order], group: str | None = None) -> list[e.Event]:
        """Answer an outstanding order correctly."""
        return self.give(answer(self.order(kind, group)))

    def form(self, *groups: tuple[str, ...], unplaced: dict[str, str] | None = None) -> list[e.Event]:
        """Answer the order to form groups."""
        grouping = Grouping(
            groups=tuple(tuple(map(DeviceId, group)) for group in groups),
            unplaced={DeviceId(name): reason for name, reason in (unplaced or {}).items()},
        )
        return self.give(i.GroupsProposed(order=self.order(c.FormGroups).key, grouping=grouping))

    def select(self, group: str = "g1", *devices: str) -> list[e.Event]:
        """Open a group's next round, with these participants or all candidates and guests."""
        order = self.order(c.SelectParticipants, group)
        chosen = tuple(map(DeviceId, devices)) or (*order.candidates, *order.guests)
        return self.give(i.ParticipantsSelected(order=order.key, devices=chosen))

    def reduce(self, group: str = "g1") -> list[e.Event]:
        """Let the aggregator answer."""
        return self.answer(c.ReduceCohort, group)

    def rule(self, group: str = "g1", reason: str | None = None) -> list[e.Event]:
        """Let the stop rule answer."""
        return self.give(i.StopRuled(order=self.order(c.CheckStop, group).key, reason=reason))

    def fail(self, order: c.Order) -> list[e.Event]:
        """Let the plugin that was asked raise."""
        return self.give(i.PluginFailed(order=order.key, plugin="plugin 'p' 1.0", reason="ZeroDivisionError"))

    def run_round(self, group: str = "g1", stop: str | None = None) -> list[e.Event]:
        """Go through one round in which everybody delivers."""
        happened = self.select(group)
        opened = self.cohort(group).opened
        happened += self.update(*opened.participants, cohort=opened.cohort)
        return happened + self.reduce(group) + self.rule(group, stop)

    # -- what there is to see

    @property
    def events(self) -> list[e.Event]:
        """Everything that happened."""
        return [record.event for record in self.records]

    def outstanding(self, kind: type[C]) -> list[C]:
        """Return the outstanding commands of a kind."""
        return [command for command in self.machine.outstanding() if isinstance(command, kind)]

    def order(self, kind: type[C], group: str | None = None) -> C:
        """Return the one outstanding command of a kind (and group)."""
        found = [one for one in self.outstanding(kind) if group is None or getattr(one, "group", None) == group]
        assert len(found) == 1, f"{len(found)} {kind.__name__} for {group} in {list(self.machine.outstanding())}"
        return found[0]

    def group(self, name: str = "g1") -> GroupState:
        """Return a group's state."""
        return self.machine.state.groups[GroupId(name)]

    def phase(self, name: str = "g1") -> Phase:
        """Return what a group waits for."""
        return self.group(name).phase

    def cohort(self, group: str = "g1") -> CohortState:
        """Return a group's open cohort."""
        cohort = self.group(group).cohort
        assert cohort is not None
        return cohort

    def device(self, name: str) -> DeviceState:
        """Return a device's state."""
        return self.machine.state.devices[DeviceId(name)]

    def _each(self, given: Iterable[i.Input]) -> list[e.Event]:
        return [event for one in given for event in self.give(one)]


def learning(
    *groups: str, exchanges: bool = False, tests: bool = False, standardise: bool = False, downward: bool = False
) -> Drive:
    """Return a federation whose groups, given as the letters of their devices from the weakest on, have tiers."""
    devices = "".join(groups)
    given = settings(min_devices=len(devices), standardise=standardise, downward=downward)
    drive = Drive(given, exchanges=exchanges, tests=tests)
    drive.join(*devices)
    drive.form(*(tuple(group) for group in groups))
    for order in drive.outstanding(c.ChooseTier):
        drive.give(answer(order))
    return drive


def kinds(events: list[e.Event]) -> list[type[e.Event]]:
    """Return the events' classes, for short comparisons."""
    return [type(event) for event in events]
