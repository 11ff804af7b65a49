"""Devices with made-up data, and a process that fits their models: what `workers.py` simulates and is held against.

It is apart from that script because the processes that are started do not have the main module.
"""

from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from tierwise.core.events import Purpose
from tierwise.core.framing import to_bytes
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.learning import Dataset, FitBudget, LocalData, StopToken
from tierwise.core.task import Task
from tierwise.core.work import Job, perform
from tierwise.plugins import Plugins
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.learners import Learners


@dataclass(frozen=True, slots=True)
class Case:
    """Devices that learn alike."""

    name: str
    features: int
    hidden: tuple[int, ...]
    samples: int
    holdout: int = 15
    devices: int = 100

    @property
    def task(self) -> Task:
        """What they learn."""
        return Task(name="made-up", features=self.features, classes=tuple("0123456789"))

    @property
    def options(self) -> dict[str, object]:
        """Of the tier and its learner."""
        return {"hidden": [list(self.hidden)]}

    @property
    def data(self) -> dict[DeviceId, LocalData]:
        """What each has, the same each time."""
        random = np.random.default_rng(0)

        def draw(count: int) -> Dataset:
            features = random.normal(size=(count, self.features)).astype(np.float32)
            return Dataset(features, random.integers(0, 10, count))

        return {DeviceId(f"d{n:03}"): LocalData(draw(self.samples), draw(self.holdout)) for n in range(self.devices)}

    def job(self, plugins: Plugins) -> Job:
        """Return a fit of one epoch."""
        provider = plugins.tier_provider("mlp", self.options)
        (tier,) = provider.offers(self.task)
        model = provider.initial(self.task, tier, 0)
        return Job(
            cohort=CohortId("g/1"),
            purpose=Purpose.FIT,
            tier=tier,
            base=model.identity,
            model=memoryview(to_bytes(model)),
            budget=FitBudget(max_samples=self.samples),
            seed=0,
        )


def serve_fits(pipe: Connection, case: Case) -> None:
    """Fit the devices that are named, until the pipe ends."""
    plugins = Plugins.discover()
    job, data = case.job(plugins), case.data
    learner, coding = Learners(plugins, case.task)(job.tier), Codecs(plugins).of(job.tier)
    while True:
        try:
            names = pipe.recv()
        except EOFError:
            return
        for name in names:
            perform(job, learner, coding, data[name], StopToken())
        pipe.send(None)
