"""Runs a small federation through a plan of faults, on virtual time, and keeps all that it ever wrote."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from tests.runtime.helpers import MOMENTUM, TASK, coordinator, data, name_of, plugins, policies, settings
from tierwise.core import events as e
from tierwise.core.agent import AgentStage
from tierwise.core.errors import FederationError
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.core.insistence import AgentSettings
from tierwise.core.learning import StopToken
from tierwise.core.settings import FederationSettings
from tierwise.core.state import FederationState
from tierwise.plugins.manager import Plugins
from tierwise.runtime.coordinator import Coordinator
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.policies import AggregatorChoice
from tierwise.runtime.simulation.clock import SimulationStalledError
from tierwise.runtime.simulation.faults import FaultPlan
from tierwise.runtime.simulation.fleet import DeviceSpec, SimulatedFleet
from tierwise.runtime.simulation.hiring import hire
from tierwise.runtime.simulation.mortal import MortalStore
from tierwise.runtime.simulation.run import run_virtually
from tierwise.runtime.simulation.workers import Workers
from tierwise.runtime.stores.memory import MemoryStore

WINDOW_S, DEADLINE_S, GRACE_S, CLOSING_S, ROUNDS = 30.0, 40.0, 20.0, 25.0, 3
HORIZON_S = 100.0
"""About what a run takes when little goes wrong."""
WRITES = 180
"""About how often a run writes when little goes wrong."""
FAREWELL_S = 1_000.0
"""Longer than any fault lasts."""
INSISTENT = AgentSettings(retry_s=2.0, retry_limit_s=8.0, poll_s=15.0, farewell_s=FAREWELL_S)
PARTING_S = 300.0
"""Within this time after the end, and after the last fault, every device has left."""
SETTLING_S = 100.0
"""Then, within this time, the coordinator has done with all that was under way to it."""
LIMIT_S = 20_000.0
"""No run, with all the times that the coordinator is down, takes longer than this."""
GONE = (AgentStage.REFUSED, AgentStage.DISMISSED)


class RunStuckError(AssertionError):
    """A run did not end, or a device did not."""


class WitnessStore(MemoryStore):
    """Remembers every blob that was ever put."""

    def __init__(self):
        super().__init__()
        self.bodies: dict[BlobHash, bytes] = {}

    async def put(self, data):
        blob = await super().put(data)
        self.bodies[blob] = bytes(data)
        return blob


@dataclass(frozen=True)
class Setup:
    """A run to be made, which differs from an ordinary one where a test wants it to."""

    plan: FaultPlan
    devices: int = 9
    aggregator: str = "momentum"
    plugins: Callable[[], Plugins] = plugins
    insist: AgentSettings = INSISTENT
    downward: bool = False
    removals: tuple[tuple[float, DeviceId], ...] = ()
    """When the operator takes which device out, by the simulation's clock."""
    alter: Callable[[Coordinator], None] = field(default=lambda coordinator: None)

    @property
    def names(self) -> list[DeviceId]:
        return [name_of(number) for number in range(self.devices)]

    @property
    def settings(self) -> FederationSettings:
        return settings(
            self.devices,
            window_s=WINDOW_S,
            deadline_s=DEADLINE_S,
            grace_s=GRACE_S,
            evaluation_deadline_s=CLOSING_S,
            downward=self.downward,
        )


@dataclass(frozen=True)
class Outcome:
    """What a run left."""

    setup: Setup
    records: Sequence[e.Record]
    state: FederationState
    """The last coordinator's."""
    blobs: Sequence[BlobHash]
    """In the store, at the end."""
    bodies: dict[BlobHash, bytes]
    """All that were ever put."""
    kept: dict[DeviceId, BlobHash]
    """Each device's target model."""
    stages: dict[DeviceId, AgentStage]
    """Of the devices whose programs run."""
    crashes: int
    """Of the coordinator."""


def drawn(seed: int) -> Setup:
    """Return the run of a seed."""
    rng = random.Random(seed)
    devices = rng.randint(9, 15)
    names = [name_of(number) for number in range(devices)]
    plan = FaultPlan.drawn(rng, names, horizon_s=HORIZON_S, writes=WRITES)
    removals = [(rng.uniform(0, HORIZON_S), rng.choice(names)) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
    aggregator = rng.choice(["momentum", "mean"])
    return Setup(plan, devices, aggregator=aggregator, downward=bool(seed % 2), removals=tuple(removals))


def profile(number: int) -> HardwareProfile:
    """Return hardware with which a job takes 10 to 20 seconds."""
    return HardwareProfile.declared(
        cpu_flops=80.0 * 2 ** (number // 3) * (1 + 0.1 * (number % 3)),
        memory_bytes=(1_000, 1_500, 3_000)[min(number // 3, 2)],
        uplink_bytes_per_s=400.0 * (1 + number),
        downlink_bytes_per_s=2000.0 * (1 + number),
    )


def run(setup: Setup, store: WitnessStore | None = None, workers: int = 1) -> Outcome:
    """Run a federation through all its coordinators' lives, until every device has left.

    Parameters
    ----------
    setup
        The run.
    store
        For who wants to see what is in it when this raises; None for a new one.
    workers
        Who do the devices' jobs, as for `simulate`.

    Raises
    ------
    RunStuckError
        If that does not come, with where everything stands.
    """
    devices = {name_of(number): DeviceSpec(profile(number), data(number)) for number in range(setup.devices)}
    with hire(workers, devices, TASK, plugins(), StopToken()) as hired:
        return run_virtually(_Run(setup, store or WitnessStore(), devices, hired).main())


class _Run:
    def __init__(self, setup: Setup, store: WitnessStore, devices: dict[DeviceId, DeviceSpec], hired: Workers) -> None:
        self.setup = setup
        self.witness = store
        self.store = MortalStore(self.witness, setup.plan)
        self.fleet = SimulatedFleet(devices, TASK, hired, setup.insist, setup.plan)
        self.coordinator: Coordinator | None = None
        self.crashes = 0

    async def main(self) -> Outcome:
        try:
            with unwrapped(), anyio.move_on_after(LIMIT_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.fleet.run)
                    await self._reign()
                    tasks.cancel_scope.cancel()
                    return await self._outcome()
        except SimulationStalledError as error:
            raise RunStuckError(f"the run stalled: {self._standing()}") from error
        raise RunStuckError(f"the run did not end within {LIMIT_S:g} s: {self._standing()}")

    async def _reign(self) -> None:
        while True:
            self.store.revive()
            died = None
            with unwrapped():
                async with anyio.create_task_group() as life:
                    life.start_soon(self._live, life)
                    died = await self.store.death()
                    life.cancel_scope.cancel()
            if died is None:
                return
            self.crashes += 1
            await anyio.sleep(died.down_s)

    async def _live(self, life: TaskGroup) -> None:
        name = self.setup.aggregator
        chosen = policies(rounds=ROUNDS, aggregation=MOMENTUM if name == MOMENTUM.name else AggregatorChoice(name=name))
        self.coordinator = coordinator(
            self.fleet, self.store, settings=self.setup.settings, policies=chosen, plugins=self.setup.plugins()
        )
        self.setup.alter(self.coordinator)
        async with self.coordinator:
            for at, device in self.setup.removals:
                life.start_soon(self._remove, self.coordinator, at, device)
            try:
                await self.coordinator.result()
            except FederationError:
                assert self.coordinator.federation.ended
            await self._see_all_off()
        life.cancel_scope.cancel()

    async def _remove(self, coordinator: Coordinator, at: float, device: DeviceId) -> None:
        await anyio.sleep(max(at - anyio.current_time(), 0.0))
        if device not in coordinator.federation.state.removed:
            coordinator.remove_device(device, "sold")

    async def _see_all_off(self) -> None:
        plan = self.setup.plan
        calm_at = max(
            [anyio.current_time()]
            + [partition.end_s for partition in plan.partitions]
            + [crash.at_s + (crash.down_s or 0.0) for crash in plan.agent_crashes]
        )
        while anyio.current_time() <= calm_at + PARTING_S:
            if anyio.current_time() >= calm_at and set(self.fleet.stages().values()) <= set(GONE):
                await anyio.sleep(SETTLING_S)
                return
            await anyio.sleep(1.0)
        raise RunStuckError(f"not every device has left {PARTING_S:g} s after the end: {self._standing()}")

    async def _outcome(self) -> Outcome:
        return Outcome(
            setup=self.setup,
            records=await self.witness.records(),
            state=self.coordinator.federation.state,
            blobs=await self.witness.blobs(),
            bodies=self.witness.bodies,
            kept=self.fleet.kept,
            stages=self.fleet.stages(),
            crashes=self.crashes,
        )

    def _standing(self) -> str:
        state = self.coordinator.federation.state
        groups = {name: (group.phase.value, group.round) for name, group in state.groups.items()}
        staying = {name: stage.value for name, stage in self.fleet.stages().items() if stage not in GONE}
        return f"the federation is {state.stage.value}, its groups {groups}, devices at work {staying}"
