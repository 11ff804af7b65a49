"""Running a simulation from beginning to end."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from tierwise.core import events as e
from tierwise.core.edges import HoldingStore, Store
from tierwise.core.events import Record
from tierwise.core.ids import DeviceId
from tierwise.core.learning import StopToken
from tierwise.core.settings import FederationSettings
from tierwise.core.state import FederationState, Stage
from tierwise.core.work import content_name, origin_name
from tierwise.plugins.manager import Plugins
from tierwise.runtime.compute import InlineCompute
from tierwise.runtime.coordinator import Coordinator
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Policies
from tierwise.runtime.result import FederationResult
from tierwise.runtime.simulation.clock import SimulationStalledError, VirtualTimeLoop
from tierwise.runtime.simulation.collecting import rare_collections
from tierwise.runtime.simulation.fleet import DeviceSpec, SimulatedFleet
from tierwise.runtime.simulation.hiring import hire
from tierwise.runtime.simulation.workers import Workers
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.threads import one_thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Simulation:
    """A finished simulation.

    Attributes
    ----------
    result
        The target models.
    records
        The event log.
    simulated_s
        Federation time at the end, in seconds.
    """

    result: FederationResult
    records: Sequence[Record]
    simulated_s: float


def simulate(
    settings: FederationSettings,
    devices: Mapping[DeviceId, DeviceSpec],
    *,
    policies: Policies | None = None,
    plugins: Plugins | None = None,
    store: Store | None = None,
    stop: StopToken | None = None,
    watch: Callable[[e.Event | e.Notice], None] | None = None,
    own: OwnData | None = None,
    workers: int | None = 1,
) -> Simulation:
    """Run a whole federation on virtual time, with real training.

    The same arguments on the same machine and build give the same bytes, whatever the number of workers: so that a
    sum is always computed in the same order, the libraries of linear algebra use one thread meanwhile.

    Parameters
    ----------
    settings
        What the federation is.
    devices
        The fleet.
    policies, plugins, store
        As for a `tierwise.runtime.Coordinator`.
    stop
        Told to stop (from any thread), it ends the simulation at its next minibatch with `FitStopped`; the store
        has what was logged until then.
    watch
        Called with every event and notice, in order, within the simulation: it should be quick.
    own
        What the coordinator itself holds, as for a `tierwise.runtime.Coordinator`.
    workers
        Who does the devices' jobs: 1 for this thread; more for so many processes; None for as many as there are
        processors. Processes pay where a device's training takes a millisecond or more. Each of them makes the learners
        anew, whose classes it has to be able to import. One that computes in threads of its own has to give the same
        bytes with any number of them.

    Raises
    ------
    TooFewDevicesError, FederationFailedError
        If there are no target models.
    FitStopped
        If it was stopped.
    ConfigurationError
        If there are less than 1 workers, or not enough memory to be shared with them.
    FederationError
        If a worker process is gone, or cannot make a learner.
    SimulationStalledError
        If it can never go on: enrolment waits for more devices than there are, or a group for devices that fulfil the
        selector's conditions. It says which.
    """
    plugins = plugins or Plugins.discover()
    store = store or MemoryStore()
    stop = stop or StopToken()

    vouches = isinstance(store, HoldingStore)
    name = origin_name if vouches else content_name
    reached = FederationState()

    async def main(hired: Workers) -> Simulation:
        nonlocal reached
        fleet = SimulatedFleet(devices, settings.task, hired, vouches=vouches)
        coordinator = Coordinator(
            settings,
            transport=fleet,
            policies=policies,
            plugins=plugins,
            store=store,
            compute=InlineCompute(),
            own=own,
        )
        reached = coordinator.federation.state
        with unwrapped():
            async with coordinator, anyio.create_task_group() as tasks:
                tasks.start_soon(fleet.run)
                if watch is not None:
                    async for event in coordinator.events(lossless=True):
                        watch(event)
                result = await coordinator.result()
                tasks.cancel_scope.cancel()
        return Simulation(result, await store.records(), coordinator.federation.latest_at)

    try:
        with one_thread(), rare_collections(), hire(workers, devices, settings.task, plugins, stop, name) as hired:
            return run_virtually(main(hired))
    except SimulationStalledError as error:
        raise SimulationStalledError(f"the simulation can never go on: {_missing(reached)}") from error


def _missing(state: FederationState) -> str:
    """Tell what a federation waits for that no device of a simulation brings: there, hardware stays as it is."""
    if state.stage is Stage.ENROLLING:
        reported = sum(device.profile is not None for device in state.devices.values())
        return (
            f"enrolment waits for {state.opened.enrolment.min_devices} devices, and {reported} have reported their "
            "hardware. Lower enrolment.min_devices, or set enrolment.window_s"
        )
    waiting = [f"{name}: {group.waits_because}" for name, group in state.groups.items() if group.waits_because]
    if waiting:
        return f"a round waits for devices ({'; '.join(waiting)}). Loosen the selector's conditions, or add devices"
    return "no timer is set and no task can run"


def run_virtually(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop | None = None) -> T:
    """Run a coroutine to its end on virtual time, in this thread, and leave nothing behind.

    Parameters
    ----------
    main
        What to run.
    loop
        Where; it is closed afterwards. None for a new one.
    """
    loop = loop or VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(_cancel_rest())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _cancel_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}  # some are left only when the run was interrupted
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
