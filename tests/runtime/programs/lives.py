"""A coordinator and six agents as processes that are killed and started again: programs with several lives."""

import math
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.runtime.programs.nothing_lost import (
    check_appended,
    check_blobs,
    check_cohorts,
    check_full,
    check_models,
    check_receipts,
    evaluated,
    learned,
    read_log,
)
from tests.runtime.programs.processes import PATIENCE_S, Running, Scene
from tests.runtime.programs.undisturbed import Undisturbed
from tierwise.core.events import Record
from tierwise.runtime.stores.holding import Witness

COORDINATOR = "coordinator"
AGENTS = tuple(f"d{number}" for number in range(6))


class Lives:
    """The programs of one federation.

    Parameters
    ----------
    stage
        Where they run.
    file
        The coordinator's.
    name
        The federation's.
    linger_s
        How long a coordinator waits for agents that were killed when the federation had ended.

    Attributes
    ----------
    agents
        Each one's lives, the last of them the present one.
    log
        What was in the store when a coordinator was killed last.
    """

    def __init__(self, stage: Scene, file: Path, name: str, *, linger_s: float = 0.0) -> None:
        self.store = stage.folder / "run.db"
        self.log: Sequence[Record] = []
        self._stage = stage
        self._name = name
        self._command = ("coordinator", file, "--log-json", "--linger", linger_s)
        self.coordinator = stage.start(COORDINATOR, *self._command)
        self.agents: dict[str, list[Running]] = {name: [] for name in AGENTS}
        for name in AGENTS:
            self._start_agent(name)

    def until(self, records: int, *, may_end: bool = False, limit_s: float = math.inf) -> None:
        """Wait until so many records are in the log: within a millisecond, before others learn what is in them."""
        began = time.monotonic()
        process, deadline = self.coordinator.process, time.monotonic() + PATIENCE_S
        while Witness(self.store).read()[0] < records:
            if (process.poll() is not None and may_end) or time.monotonic() - began >= limit_s:
                return
            assert process.poll() is None, f"it has ended:\n{self.coordinator.last_words()}"
            assert time.monotonic() < deadline, f"it does not come so far:\n{self.coordinator.last_words()}"
            time.sleep(0.0003)

    def kill(self, names: Collection[str]) -> list[str]:
        """Kill programs, at once; return those that had not ended."""
        killed = [name for name in names if self._present(name).kill()]
        if COORDINATOR in names:
            before, self.log = self.log, read_log(self.store)
            check_appended(before, self.log, self.coordinator)
        return killed

    def start(self, names: Collection[str]) -> None:
        """Start programs that were killed with the same commands."""
        for name in names:
            if name == COORDINATOR:
                self.coordinator = self._stage.start(COORDINATOR, *self._command)
            else:
                self._start_agent(name)

    def end(self) -> None:
        """Wait for the end of all agents, which have their models."""
        assert {name: lives[-1].wait() for name, lives in self.agents.items()} == dict.fromkeys(AGENTS, 0)

    def check(self, undisturbed: Undisturbed) -> None:
        """Check that nothing was lost, and that all is as if nothing had been killed."""
        log = read_log(self.store)
        check_full(log)
        accepted = check_cohorts(log)
        receipts = check_receipts(accepted, self.agents)
        assert receipts > len(accepted) / 2
        assert learned(log) == learned(undisturbed.records)
        if all(len(lives) == 1 for lives in self.agents.values()):
            assert evaluated(log) == evaluated(undisturbed.records)
        check_blobs(self.store, log)
        check_models(self._stage.folder, undisturbed.models())

    def _present(self, name: str) -> Running:
        return self.coordinator if name == COORDINATOR else self.agents[name][-1]

    def _start_agent(self, name: str) -> None:
        agent = self._stage.agent(int(name[1:]), "--log-json", name=self._name)
        self.agents[name].append(agent)
