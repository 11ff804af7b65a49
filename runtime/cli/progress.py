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
from tierwise.core.metrics import Metrics, read_metrics
from tierwise.runtime.cli import present

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
    metric: tuple[str, float] | None = None
    """Of the latest model that was evaluated."""
    state: str = "starts"
    told_at: float = float("-inf")

    @property
    def figure(self) -> str:
        return present.MISSING if self.metric is None else present.share(self.metric[1])


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
        self._remark = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show what is watched, as long as the context lasts."""
        if self._console.is_terminal:
            with Live(get_renderable=self._table, console=self._console, refresh_per_second=8, transient=True):
                yield
            return
        self._tell = lambda line: self._console.print(line, soft_wrap=True)
        try:
            yield
        finally:
            self._tell = None  # whoever was abandoned says nothing more

    def say(self, remark: str) -> None:
        """Show what is going on before there are groups."""
        self._remark = remark
        if self._tell is not None:
            self._tell(remark)

    def watch(self, event: e.Event | e.Notice) -> None:
        """Take note of an event."""
        match event:
            case e.GroupsFormed():
                self._remark = ""
                self._groups = {formed.group: _GroupProgress(len(formed.devices)) for formed in event.groups}
            case e.DevicePlaced():
                self._groups[event.group].devices += 1
            case e.TierAssigned():
                self._groups[event.group].tier = event.tier.name
            case e.RoundOpened():
                group = self._groups[event.group]
                group.wanted, group.arrived = len(event.participants), set()
                fits = event.purpose is e.Purpose.FIT
                group.state = f"round {event.round}" if fits else "closing evaluation"
            case e.UpdateAccepted() | e.EvaluationAccepted():
                self._groups[_group_of(event.cohort)].arrived.add(event.device)
            case e.RoundAbandoned():
                self._note(event.group, f"round {event.round} abandoned: {event.reason}", always=True)
            case e.RoundClosed():
                self._close(event)
            case e.GroupMerged():
                self._groups[event.target].devices += len(event.devices)
                self._groups[event.source].devices = 0
            case e.GroupFinished():
                self._finish(event)
            case _:
                pass

    def _close(self, event: e.RoundClosed) -> None:
        group = self._groups[event.group]
        group.closed += 1
        group.metric = _first(event.metrics) or group.metric
        metric = f", {group.metric[0]} {group.figure} before it" if group.metric else ""
        self._note(event.group, f"round {event.round} closed, {event.devices} of {group.wanted} devices{metric}")

    def _finish(self, event: e.GroupFinished) -> None:
        group = self._groups[event.group]
        group.metric = _first(event.metrics) or group.metric
        group.wanted, group.arrived = 0, set()
        ended = f"{'failed' if event.failed else 'finished'}: {event.reason}"
        metric = f", {group.metric[0]} {group.figure}" if group.metric else ""
        self._note(event.group, f"{ended}{metric}", always=True)
        group.state = ended

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
        numbers = ("devices", "rounds", "in", "metric")
        table = present.table("group", "tier", *numbers, "now", title=self._title, right=numbers)
        for name, group in groups:
            arrived = f"{len(group.arrived)}/{group.wanted}" if group.wanted else ""
            table.add_row(name, group.tier, str(group.devices), str(group.closed), arrived, group.figure, group.state)
        named = next((group.metric[0] for _, group in groups if group.metric), "metric")
        table.columns[5].header = named
        return table


def _group_of(cohort: CohortId) -> GroupId:
    return GroupId(cohort.rpartition(".r")[0])


def _first(metrics: Metrics) -> tuple[str, float] | None:
    """Return the task's first metric, if it is over any samples."""
    figures = read_metrics(metrics).items()
    return next(((name, figure.value) for name, figure in figures if figure.value is not None), None)
