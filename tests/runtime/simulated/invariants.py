"""What must hold after every run, whatever went wrong in it; told from the log and the bodies alone.

This reads the log on its own, without the federation's transitions, so that a mistake there is no excuse here.
"""

from dataclasses import dataclass, field

import numpy as np

from tierwise.core import events as e
from tierwise.core.agent import AgentStage
from tierwise.core.federation import Federation
from tierwise.core.framing import unframe
from tierwise.core.weights import Role

from .harness import CLOSING_S, DEADLINE_S, GRACE_S, ROUNDS, WINDOW_S, Outcome

MINIMUM = 3
MOMENTUM = 0.5
TIMELY_S = WINDOW_S + (4 * ROUNDS + 4) * (DEADLINE_S + 2 * GRACE_S) + CLOSING_S
"""Federation time within which a run ends: before each closed round, and after the last, at most three are abandoned,
each after its deadline and with a grace period around it."""


class BrokenInvariantError(AssertionError):
    """Something that must hold does not."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenInvariantError(what)


@dataclass
class Book:
    """What the log has said of a group."""

    model: str | None = None
    version: int = 0
    round: int = 0
    state: str | None = None
    """The server optimizer's, as a blob."""
    opened: e.RoundOpened | None = None
    accepted: dict = field(default_factory=dict)
    survivors: tuple | None = None
    finished: bool = False


def check(outcome: Outcome) -> None:
    """Check everything.

    Raises
    ------
    BrokenInvariantError
        Says what is broken.
    """
    _Reading(outcome).check()
    _check_end(outcome)
    _check_replay(outcome)
    _check_devices(outcome)


class _Reading:
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.books: dict[str, Book] = {}
        self.counted: set = set()

    def check(self) -> None:
        at = 0.0
        for number, record in enumerate(self.outcome.records):
            require(record.sequence == number, f"record {record.sequence} is in place {number}")
            require(record.at >= at, f"record {number} is from before the one before")
            at = record.at
            self.read(record.event, at)

    def read(self, event: e.Event, at: float) -> None:
        if isinstance(event, e.GroupsFormed):
            for formed in event.groups:
                require(len(formed.devices) >= MINIMUM, f"group {formed.group} was formed of {formed.devices}")
                self.books[formed.group] = Book()
        elif isinstance(event, e.UpdateAccepted | e.EvaluationAccepted):
            self.accept(event, at)
        elif isinstance(event, e.DeviceRemoved):
            self.remove(event)
        elif getattr(event, "group", None) in self.books:
            self.read_of_group(self.books[event.group], event, at)

    def read_of_group(self, book: Book, event: e.Event, at: float) -> None:
        match event:
            case e.TierAssigned():
                book.model = event.model
            case e.RoundOpened():
                self.open(book, event, at)
            case e.CohortClosed():
                self.close_cohort(book, event)
            case e.RoundAbandoned():
                require(_names(book.opened, event), f"{event.cohort} was abandoned and not open")
                book.opened = None
            case e.RoundClosed():
                self.close_round(book, event)
            case e.GroupFinished():
                self.finish(book, event)

    def remove(self, event: e.DeviceRemoved) -> None:
        for book in self.books.values():
            if book.survivors is None:  # else it is in the sum already
                book.accepted.pop(event.device, None)

    def open(self, book: Book, event: e.RoundOpened, at: float) -> None:
        require(book.opened is None and not book.finished, f"{event.cohort} was opened beside another")
        require(event.round == book.round + 1, f"round {event.round} of {event.group} came after {book.round}")
        require(event.version == book.version, f"{event.cohort} has version {event.version}, not {book.version}")
        require(event.model == book.model, f"{event.cohort} does not start from its group's latest model")
        asked = list(event.participants)
        require(len(asked) >= MINIMUM and asked == sorted(set(asked)), f"{event.cohort} asked {asked}")
        allowed_s = DEADLINE_S if event.purpose is e.Purpose.FIT else CLOSING_S
        require(event.deadline_at == at + allowed_s, f"{event.cohort} has its deadline at {event.deadline_at:g}")
        book.opened, book.round, book.accepted, book.survivors = event, event.round, {}, None

    def accept(self, event: e.UpdateAccepted | e.EvaluationAccepted, at: float) -> None:
        books = [book for book in self.books.values() if book.opened and book.opened.cohort == event.cohort]
        what = f"the contribution of {event.device} to {event.cohort}"
        require(bool(books) and books[0].survivors is None, f"{what} was accepted while that was not open")
        (book,) = books
        require((event.cohort, event.device) not in self.counted, f"{what} was accepted twice")
        require(event.device in book.opened.participants, f"{what} was accepted and not asked for")
        require(event.arrived_at <= at, f"{what} was accepted before it came")
        require(event.arrived_at <= book.opened.deadline_at, f"{what} was accepted and came after the deadline")
        fits = book.opened.purpose is e.Purpose.FIT
        require(fits == isinstance(event, e.UpdateAccepted), f"{what} is a {type(event).__name__}")
        self.counted.add((event.cohort, event.device))
        book.accepted[event.device] = event

    def close_cohort(self, book: Book, event: e.CohortClosed) -> None:
        require(_names(book.opened, event), f"{event.cohort} closed and was not open")
        survivors = event.survivors
        require(book.survivors is None, f"{event.cohort} closed twice")
        require(len(survivors) >= MINIMUM, f"{event.cohort} closed with {len(survivors)} devices")
        require(set(survivors) <= set(book.opened.participants), f"not all of {survivors} were asked")
        accepted = tuple(sorted(book.accepted))
        require(survivors == accepted, f"{event.cohort} lists {survivors}, accepted were {accepted}")
        book.survivors = survivors

    def close_round(self, book: Book, event: e.RoundClosed) -> None:
        require(_names(book.opened, event) and book.survivors is not None, f"{event.cohort} has no closed cohort")
        require(event.round == book.round, f"{event.cohort} closed as round {event.round}")
        require(event.version == book.version + 1, f"version {event.version} came after {book.version}")
        updates = [book.accepted[device] for device in book.survivors]
        require(event.devices == len(updates), f"{event.cohort} counts {event.devices} devices of {len(updates)}")
        samples = sum(update.samples for update in updates)
        require(event.samples == samples, f"{event.cohort} counts {event.samples} samples of {samples}")
        self.check_model(book, event, updates)
        book.model, book.version, book.state, book.opened = event.model, event.version, event.optimizer_state, None

    def check_model(self, book: Book, event: e.RoundClosed, updates: list) -> None:
        """Compare the new model with the mean in float64, within what rounding to float32 can do.

        A sum of k terms, each rounded, is off by (k + 3) units in the last place of the sum of their magnitudes at
        the most; adding the rest, by a few of what is added.
        """
        weights = np.array([update.samples for update in updates], np.float64)
        deltas = np.array([self.aggregated(update.blob) for update in updates])
        total = weights @ deltas / weights.sum()
        noise = (len(updates) + 3) * (weights @ np.abs(deltas)) / weights.sum()
        if self.outcome.setup.aggregator == "momentum":
            carried = np.zeros_like(total) if book.state is None else MOMENTUM * self.velocity(book.state)
            total = total + carried
            noise = noise + 2 * np.abs(carried) + 2 * np.abs(total)
            self.compare(self.velocity(event.optimizer_state), total, noise, f"the velocity of {event.cohort}")
        before = self.aggregated(book.model)
        noise = noise + 2 * np.abs(before) + 2 * np.abs(before + total)
        what = f"the model of {event.cohort} is not the one before and the mean of {book.survivors}"
        self.compare(self.aggregated(event.model), before + total, noise, what)

    def compare(self, found: np.ndarray, expected: np.ndarray, noise: np.ndarray, what: str) -> None:
        require(found.shape == expected.shape, f"{what}: it has {found.size} values of {expected.size}")
        off = np.abs(found - expected)
        worst = f"off by {off.max():.3g}, allowed are {(noise * np.finfo(np.float32).eps).max():.3g}"
        require(bool((off <= noise * np.finfo(np.float32).eps).all()), f"{what}: {worst}")

    def aggregated(self, blob: str) -> np.ndarray:
        return unframe(self.outcome.bodies[blob]).part(Role.AGGREGATE).buffer.astype(np.float64)

    def velocity(self, blob: str) -> np.ndarray:
        return dict(unframe(self.outcome.bodies[blob]).items())["velocity"].astype(np.float64).ravel()

    def finish(self, book: Book, event: e.GroupFinished) -> None:
        require(not book.finished, f"group {event.group} finished twice")
        found, expected = (event.version, event.model), (book.version, book.model)
        require(found == expected, f"group {event.group} ended with {found}, its latest is {expected}")
        evaluating = book.opened is not None and book.opened.purpose is e.Purpose.EVALUATE
        require(book.opened is None or evaluating, f"group {event.group} ended within {book.opened}")
        accepted = book.accepted.values() if evaluating and len(book.accepted) >= MINIMUM else ()
        count = sum(one.metrics["accuracy"].count for one in accepted)
        shown = event.metrics["accuracy"].count if event.metrics else 0
        require(shown == count, f"group {event.group} shows an accuracy over {shown} samples of {count}")
        book.finished, book.opened = True, None


def _names(opened: e.RoundOpened | None, event: e.CohortClosed | e.RoundAbandoned | e.RoundClosed) -> bool:
    return opened is not None and opened.cohort == event.cohort


def _check_end(outcome: Outcome) -> None:
    *before, last = outcome.records
    ends = (e.FederationFinished, e.FederationFailed)
    require(isinstance(last.event, ends), f"the log ends with {last.event}")
    require(not any(isinstance(record.event, ends) for record in before), "the federation ended twice")
    formed = {group.group for r in before if isinstance(r.event, e.GroupsFormed) for group in r.event.groups}
    finished = {record.event.group for record in before if isinstance(record.event, e.GroupFinished)}
    require(finished == formed, f"groups {sorted(formed - finished)} have not finished")
    require(last.at <= TIMELY_S, f"the run took {last.at:g} s, {TIMELY_S:g} s are enough")


def _check_replay(outcome: Outcome) -> None:
    replayed = Federation()
    for record in outcome.records:
        replayed.apply(record)
    require(replayed.state == outcome.state, "replaying the log does not give the final state")
    needed = replayed.live_blobs()
    missing = sorted(needed - set(outcome.blobs))
    require(not missing, f"blobs that the final state needs are not there: {missing}")
    left_over = sorted(set(outcome.blobs) - needed)
    require(not left_over, f"blobs that nobody needs are there: {left_over}")


def _check_devices(outcome: Outcome) -> None:
    state = outcome.state
    for name, stage in outcome.stages.items():
        device = state.devices.get(name)
        if stage is AgentStage.REFUSED:
            require(device is None, f"device {name} was refused, which had enrolled")
        elif device is not None and device.group is not None:
            target, kept = state.groups[device.group].model, outcome.kept.get(name)
            require(target in (None, kept), f"device {name} of {device.group} has the model {kept}, not {target}")
