"""A small federation for the tests of the runtime: real parts, little data.

Nine devices of three strengths learn to tell three clouds of points apart. The server optimizer has momentum, so that
its state has to survive, too.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import anyio
import numpy as np
import psutil

from tierwise.core import events as e
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.insistence import AgentSettings
from tierwise.core.learning import Dataset, LocalData, StopToken
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.plugins.descriptors import AggregatorDescriptor, Kind, PluginDescriptor
from tierwise.plugins.hookspecs import HOOKS, hookimpl
from tierwise.plugins.manager import Plugins
from tierwise.runtime.agent import Agent
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.compute import InlineCompute
from tierwise.runtime.coordinator import Coordinator
from tierwise.runtime.policies import AggregatorChoice, Choice, Policies
from tierwise.runtime.simulation.fleet import RELIABLE, DeviceSpec, SimulatedFleet
from tierwise.runtime.simulation.workers import InThread
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

TASK = Task(name="clouds", features=4, classes=("a", "b", "c"))
LADDER = Choice(name="mlp", options={"hidden": [[2], [4], [8]]})
INSISTENT = AgentSettings(retry_s=5.0, retry_limit_s=60.0)
QUICK = AgentSettings(retry_s=0.02, retry_limit_s=0.1)
"""For tests in real time."""


def descriptor(kind: Kind, name: str, cls: type) -> PluginDescriptor:
    """Announce a class of a test module as a plugin without options."""
    return PluginDescriptor(kind=kind, name=name, target=f"{cls.__module__}:{cls.__qualname__}", summary="For tests.")


def pack(*descriptors: PluginDescriptor | AggregatorDescriptor) -> object:
    """Make a plugin that announces descriptors."""

    class Pack:
        pass

    for hook, kind in HOOKS.items():
        announced = [one for one in descriptors if one.kind is kind]
        if announced:
            setattr(Pack, hook, staticmethod(hookimpl(functools.partial(list, announced), specname=hook)))
    return Pack()


MOMENTUM = AggregatorChoice(name="momentum", server_optimizer={"momentum": 0.5})


def plugins_with(*descriptors: PluginDescriptor | AggregatorDescriptor) -> Plugins:
    """Return all that is installed, and some more."""
    found = Plugins.discover()
    found.register(pack(*descriptors), distribution="test-pack", version="1.2.3")
    return found


@functools.cache
def plugins() -> Plugins:
    """Return all that is installed."""
    return Plugins.discover()


def policies(rounds: int = 2, groups: int = 3, **other: Choice) -> Policies:
    """Return policies for short runs."""
    chosen = {
        "grouping": Choice(name="quantile", options={"groups": groups}),
        "tiers": LADDER,
        "aggregation": MOMENTUM,
        "stop": Choice(name="rounds", options={"rounds": rounds}),
    }
    return Policies(**{**chosen, **other})


def settings(devices: int = 9, *, seed: int = 7, window_s: float | None = None, **rounds: float) -> FederationSettings:
    """Return settings with a deadline that nobody misses."""
    return FederationSettings(
        name="test",
        task=TASK,
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=devices, window_s=window_s),
        rounds=RoundSettings(**{"deadline_s": 600.0, "grace_s": 60.0, "max_samples": 24, **rounds}),
    )


def name_of(number: int) -> DeviceId:
    return DeviceId(f"d{number}")


def profile(number: int) -> HardwareProfile:
    """Return hardware: three strengths, and within each no two devices equally fast."""
    return HardwareProfile.declared(
        cpu_flops=1e5 * 10 ** (number // 3) * (1 + 0.1 * number),
        memory_bytes=(1_000, 1_500, 3_000)[min(number // 3, 2)],  # for a tier each
        uplink_bytes_per_s=1000.0 * (1 + number),
        downlink_bytes_per_s=5000.0 * (1 + number),
    )


def data(number: int, samples: int = 12) -> LocalData:
    """Return a device's own data."""
    random = np.random.default_rng(number)
    labels = random.integers(0, 3, samples + 6)
    features = (random.normal(size=(samples + 6, 4)) + 2 * np.eye(3, 4)[labels]).astype(np.float32)
    return LocalData(Dataset(features[:samples], labels[:samples]), Dataset(features[samples:], labels[samples:]))


def specs(devices: int = 9) -> dict[DeviceId, DeviceSpec]:
    """Return devices for a simulation."""
    return {name_of(number): DeviceSpec(profile(number), data(number)) for number in range(devices)}


def simulated(devices: Mapping[DeviceId, DeviceSpec], insist: AgentSettings = RELIABLE) -> SimulatedFleet:
    """Return a fleet to be run on virtual time."""
    return SimulatedFleet(devices, TASK, in_thread(devices), insist)


def in_thread(devices: Mapping[DeviceId, DeviceSpec]) -> InThread:
    """Return who does the devices' jobs on the event loop."""
    learners = functools.partial(make_learner, plugins())
    return InThread({name: spec.data for name, spec in devices.items()}, learners, Codecs(plugins()).of, StopToken())


def make_learner(known: Plugins, tier):
    return known.learner(tier.learner, tier.options, TASK)


def coordinator(transport, store=None, *, devices: int = 9, compute=None, **changed) -> Coordinator:
    """Return a coordinator of the small federation."""
    return Coordinator(
        changed.pop("settings", None) or settings(devices),
        transport=transport,
        store=store,
        compute=compute or InlineCompute(),
        **{"policies": policies(), "plugins": plugins(), **changed},
    )


def agent(number: int, network: MemoryNetwork, **changed) -> Agent:
    """Return a real agent of the small federation."""
    return Agent(
        name_of(number),
        **{
            "task": TASK,
            "data": data(number),
            "transport": network.agent(name_of(number)),
            "declared": profile(number),
            "probes": [],
            "plugins": plugins(),
            "compute": InlineCompute(),
            "settings": QUICK,
            **changed,
        },
    )


async def live(number: int, network: MemoryNetwork, targets: dict | None = None, **changed) -> None:
    """Be a device until the federation has ended."""
    async with agent(number, network, **changed) as running:
        target = await running.target()
    if targets is not None:
        targets[number] = target


async def run_with_agents(store=None, devices: int = 9, *, agent_compute=None, **changed):
    """Run a federation of real agents over a network in memory; return result, log and the devices' targets."""
    store = store or MemoryStore()
    network, targets = MemoryNetwork(), {}
    async with coordinator(network.coordinator(), store, devices=devices, **changed) as running:
        async with anyio.create_task_group() as tasks:
            for number in range(devices):
                compute = {} if agent_compute is None else {"compute": agent_compute()}
                tasks.start_soon(functools.partial(live, number, network, targets, **compute))
        result = await running.result()
    return result, await store.records(), targets


class CopyingStore(MemoryStore):
    """Takes nothing as it is, like a store on a disk: with it, a simulation names updates for their bytes."""

    hold = None


# -- what two runs are compared by

TIMES = ("deadline_at", "grace_until", "arrived_at")


def targets_of(records: Iterable[e.Record]) -> dict[GroupId, BlobHash]:
    """Return each group's target model."""
    return {r.event.group: r.event.model for r in records if isinstance(r.event, e.GroupFinished)}


def facts(records: Iterable[e.Record]) -> list[str]:
    """Return what happened, without times and without the order in which devices happened to come."""
    return sorted(repr(timeless(record.event)) for record in records)


def story(records: Iterable[e.Record], group: str) -> list[str]:
    """Return a group's own facts in their order; the devices' contributions come in any order."""
    events = (record.event for record in records)
    own = [event for event in events if getattr(event, "group", None) == group]
    return [repr(timeless(event)) for event in own]


def timeless(event: e.Event) -> e.Event:
    changes = {name: 0.0 for name in TIMES if hasattr(event, name)}
    return type(event)(**{**{field: getattr(event, field) for field in event.__struct_fields__}, **changes})


def resident_bytes(name: str) -> int:
    """Return what this process has in memory of a mapped file, by its name; on Linux."""
    lines, total = iter(Path("/proc/self/smaps").read_text().splitlines()), 0
    for line in lines:
        if line.endswith(f"/{name}"):
            total += next(int(one.split()[1]) * 1024 for one in lines if one.startswith("Rss:"))
    return total


def children() -> set[int]:
    """Return the processes that this one has started and that have not ended, but for Python's own."""
    found = psutil.Process().children(recursive=True)
    return {one.pid for one in found if one.is_running() and "resource_tracker" not in _command_line(one)}


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.ZombieProcess:
        return ""
