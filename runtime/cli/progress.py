"""Live progress of a federation's groups: a table that changes in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tierwise.core import events as e
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.metrics import Metrics, read_metric
from tierwise.runtime.cli import present
from tierwise.runtime.cli.sentences import OTHERWISE

NARROW: Final = 100
"""A console of fewer columns has a tighter table."""
REASON: Final = 160
"""Characters of why a group ended, which is told in full when the run has."""
PAUSE_S: Final = 2.0
"""Between two lines about the same group, where there is no terminal."""


@dataclass(slots=True)
class _GroupProgress:
    devices: int
    tier: str = present.MISSING
    closed: int = 0
    wanted: int = 0
    """Participants of the open cohort."""
    arrived: set[DeviceId] = field(default_factory=set)
    value: float | None = None
    """Of the task's first metric, for the latest model that was evaluated."""
    test: float | None = None
    """The same for the latest one that the coordinator tested."""
    closing: str = ""
    """What is to be said about the latest round, once its model is tested."""
    abandoned: str = ""
    """Why a round was, which is told once and not for each that follows."""
    state: str = "starts"
    told_at: float = float("-inf")


class Progress:
    """Follows a federation's events; `watch` is for `tierwise.runtime.simulation.run.simulate`.

    Events may come from another thread than the one that shows them.

    Parameters
    ----------
    console
        Where to.
    title
        Above the table.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self._console = console
        self._title = title
        self._groups: dict[GroupId, _GroupProgress] = {}
        self._tell: Callable[[str], None] | None = None
        self._open = False
        self._remark = ""
        self._metric = "metric"
        self._tests = False

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show what is watched, as long as the context lasts."""
        self._open = True
        try:
            if self._console.is_terminal:
                with Live(get_renderable=self._table, console=self._console, refresh_per_second=8, transient=True):
                    yield
            else:
                self._tell = lambda line: self._console.print(line, soft_wrap=True)
                yield
        finally:
            self._tell, self._open = None, False  # whoever was abandoned says nothing more

    def say(self, remark: str) -> None:
        """Show what is going on before there are groups."""
        self._remark = remark
        if self._tell is not None:
            self._tell(remark)

    def warn(self, text: str) -> None:
        """Show a warning, which stays."""
        if self._open:
            self._console.print(f"warning: {text}", style="yellow", soft_wrap=True)

    def watch(self, event: e.Event | e.Notice) -> None:
        """Take note of an event."""
        match event:
            case e.FederationOpened():
                self._metric, self._tests = event.settings.task.metrics[0], event.tests
            case e.GroupsFormed():
                self._remark = ""
                self._groups = {formed.group: _GroupProgress(len(formed.devices)) for formed in event.groups}
            case e.DevicePlaced():
                self._groups[event.group].devices += 1
            case e.TierAssigned():
                self._groups[event.group].tier = event.tier.name
            case e.GroupMerged():
                self._groups[event.target].devices += len(event.devices)
                self._groups[event.source].devices = 0
            case e.GroupFinished():
                self._finish(event)
            case _:
                self._watch_round(event)

    def _watch_round(self, event: e.Event | e.Notice) -> None:
        match event:
            case e.RoundOpened():
                group = self._groups[event.group]
                group.wanted, group.arrived = len(event.participants), set()
                group.state = OTHERWISE.get(event.purpose, f"round {event.round}")
            case e.UpdateAccepted() | e.EvaluationAccepted():
                self._groups[_group_of(event.cohort)].arrived.add(event.device)
            case e.RoundPostponed():
                self._note(event.group, f"waits for devices: {event.reason}", always=True)
            case e.RoundAbandoned():
                self._abandon(event)
            case e.RoundClosed():
                self._close(event)
            case e.ModelTested():
                self._test(event)
            case _:
                pass

    def _abandon(self, event: e.RoundAbandoned) -> None:
        group = self._groups[event.group]
        again = event.reason == group.abandoned
        group.abandoned = event.reason
        why = "for the same reason" if again else f"because {event.reason}"
        self._note(event.group, f"round {event.round} abandoned {why}", always=not again)

    def _close(self, event: e.RoundClosed) -> None:
        group = self._groups[event.group]
        group.closed += 1
        group.value = self._value(event.metrics, group.value)
        line = f"round {event.round} closed, {event.devices} of {group.wanted} devices"
        if group.value is not None:
            line += f", {self._metric} {present.metric(self._metric, group.value)} before it"
        if self._tests:
            group.closing = line
        else:
            self._note(event.group, line)

    def _test(self, event: e.ModelTested) -> None:
        group = self._groups[event.group]
        group.test = self._value(event.metrics, group.test)
        self._note(event.group, f"{group.closing}{self._tested(group)} after it")

    def _finish(self, event: e.GroupFinished) -> None:
        group = self._groups[event.group]
        group.value = self._value(event.metrics, group.value)
        group.wanted, group.arrived = 0, set()
        ended = f"{'failed' if event.failed else 'finished'}: {present.shortened(event.reason, REASON)}"
        metric = "" if group.value is None else f", {self._metric} {present.metric(self._metric, group.value)}"
        self._note(event.group, f"{ended}{metric}{self._tested(group)}", always=True)
        group.state = ended

    def _value(self, metrics: Metrics, before: float | None) -> float | None:
        """Return the first metric's value, or the one before if it is over no samples."""
        figure = read_metric(metrics, self._metric)
        return before if figure is None or figure.value is None else figure.value

    def _tested(self, group: _GroupProgress) -> str:
        return "" if group.test is None else f", test {self._metric} {present.metric(self._metric, group.test)}"

    def _note(self, name: GroupId, line: str, *, always: bool = False) -> None:
        group = self._groups[name]
        group.state = line.partition(",")[0]
        now = time.monotonic()
        if self._tell is not None and (always or now - group.told_at >= PAUSE_S):
            group.told_at = now
            self._tell(f"{name} {group.tier}: {line}")

    def _table(self) -> Table | str:
        groups = list(self._groups.items())
        if not groups:
            return self._remark
        values = (self._metric, *([f"test {self._metric}"] if self._tests else []))
        numbers = ("devices", "rounds", "in", *values)
        narrow = self._console.width < NARROW
        table = present.table("group", "tier", *numbers, "now", title=self._title, right=numbers, tight=narrow)
        for name, group in groups:
            arrived = f"{len(group.arrived)}/{group.wanted}" if group.wanted else ""
            shown = [present.metric(self._metric, value) for value in (group.value, group.test)[: len(values)]]
            table.add_row(name, group.tier, str(group.devices), str(group.closed), arrived, *shown, group.state)
        return table


def _group_of(cohort: CohortId) -> GroupId:
    return GroupId(cohort.rpartition(".r")[0])
