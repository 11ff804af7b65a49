"""A federation that nobody disturbs, with which the disturbed ones are compared."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.runtime.programs.nothing_lost import check_cohorts, check_full, check_models, published, read_log
from tests.runtime.programs.processes import STORE, Scene, configuration
from tierwise.core import events as e
from tierwise.core.events import Record

ROUNDS = 20


@dataclass(frozen=True)
class Undisturbed:
    """What it came to.

    Attributes
    ----------
    records
        Its log.
    start_s
        From the start of the coordinator's process to its first record.
    """

    records: Sequence[Record]
    start_s: float

    def models(self, version: int = ROUNDS) -> dict[str, str]:
        """Return, by group, the sha256 of the model after so many rounds."""
        closed = [record.event for record in self.records if isinstance(record.event, e.RoundClosed)]
        return {event.group: event.model for event in closed if event.version == version}


def patient(stage: Scene, name: str, *, rounds: int = ROUNDS, tiers: str = "", signed: bool = False) -> Path:
    """Write a coordinator's file with deadlines that no kill makes anybody miss, and a group with large updates."""
    if signed:
        stage.enrol(name)
    return configuration(
        stage.folder / "run.toml", stage.broker, name=name, rounds=rounds, width=12_000, deadline_s=120, grace_s=120,
        tiers=tiers, more=STORE + ('[security]\nregistry = "registry"\n' if signed else ""),
    )  # fmt: skip


def run_undisturbed(stage: Scene) -> Undisturbed:
    """Run it."""
    file = patient(stage, "undisturbed")
    began = time.monotonic()
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    coordinator.until(lambda one: bool(published(one)))
    start_s = time.monotonic() - began
    agents = stage.agents(name="undisturbed")
    assert coordinator.wait() == 0, coordinator.err.read_text()
    assert [agent.wait() for agent in agents] == [0] * 6
    run = Undisturbed(read_log(stage.folder / "run.db"), start_s)
    check_cohorts(run.records)
    check_full(run.records)
    assert len(run.models()) == 2
    check_models(stage.folder, run.models())
    return run
