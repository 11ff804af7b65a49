"""The federations of this service: each has a coordinator, a store, and a history of what has happened."""

import logging
import shutil
from pathlib import Path
from typing import Annotated, Final

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from tierwise.core import (
    EnrolmentSettings,
    Event,
    FederationSettings,
    Metrics,
    RoundSettings,
    Subscription,
    TierwiseError,
)
from tierwise.plugins import Plugins
from tierwise.runtime import (
    Choice,
    Coordinator,
    FederationResult,
    MqttSettings,
    Policies,
    SqliteStore,
    mqtt_coordinator,
)
from tierwise_service.history import History

_LOG: Final = logging.getLogger("uvicorn.error")
_ASKED: Final = "asked.json"

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a federation is to be; bounds and defaults make the error messages."""

    name: Name
    rounds: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10
    min_devices: Annotated[int, msgspec.Meta(ge=3, le=100_000)] = 3
    groups: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    data: str = "digits"


class GroupStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where a group stands; ``metrics`` are means over hold-outs, of the model before the latest closed round."""

    group: str
    tier: str | None
    devices: int
    phase: str
    round: int
    metrics: dict[str, float]
    reason: str | None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a federation stands."""

    name: str
    stage: str
    devices: int
    groups: list[GroupStanding]
    failure: str | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the service is told: its broker, its disk, and where the registries of enrolled devices are."""

    mqtt: MqttSettings
    folder: Path
    registries: Path | None = None


class Hosted:
    """A federation that this service coordinates."""

    def __init__(self, asked: Asked, settings: Settings, plugins: Plugins) -> None:
        self.asked = asked
        self.history = History()
        self.result: FederationResult | None = None
        self.failure: str | None = None
        self.gone = anyio.Event()
        self.folder = settings.folder / asked.name
        self.store = SqliteStore(self.folder / "run.db")
        self._settings = settings
        self._plugins = plugins
        self._coordinator: Coordinator | None = None
        self._leaving = anyio.Event()

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Coordinate it until `leave` is called; ``task_status`` learns when there is a connection to the broker."""
        try:
            await self._coordinate(task_status)
        except Exception as error:  # one federation's failure must not end the others
            if self._coordinator is None:
                raise  # whoever starts it is told
            _LOG.exception("federation %s has failed", self.asked.name)
            self.failure = str(error)
        finally:
            self.history.end()
            self.gone.set()

    async def _coordinate(self, task_status: TaskStatus[None]) -> None:
        asked = self.asked
        registries, source = self._settings.registries, self._plugins.data_source(asked.data)
        settings = FederationSettings(
            name=asked.name,
            task=source.task,
            seed=asked.seed,
            enrolment=EnrolmentSettings(min_devices=asked.min_devices, window_s=None),
            rounds=RoundSettings(deadline_s=asked.deadline_s),
        )
        policies = Policies(
            grouping=Choice(name="quantile", options={"groups": asked.groups}),
            stop=Choice(name="rounds", options={"rounds": asked.rounds}),
        )
        if self.store.path.exists():  # this service was stopped, and goes on
            for record in await self.store.records():
                self.history.add(record.event)
        mqtt = msgspec.structs.replace(self._settings.mqtt, federation=asked.name)
        registry = None if registries is None else registries / asked.name
        async with (
            mqtt_coordinator(mqtt, registry=registry, spool_dir=self.store.incoming) as transport,
            Coordinator(
                settings, transport=transport, policies=policies, plugins=self._plugins, store=self.store
            ) as coordinator,
            # Lossless: it only appends to a list, and numbers what it gets. Browsers read the list.
            coordinator.bus.subscribe(Event, name="history") as events,
            anyio.create_task_group() as tasks,
        ):
            self._coordinator = coordinator
            tasks.start_soon(self._follow, events)
            tasks.start_soon(self._conclude, coordinator)
            task_status.started()
            await self._leaving.wait()  # beyond the end: a device that was away still gets its model
            tasks.cancel_scope.cancel()

    async def _follow(self, events: Subscription[Event]) -> None:
        async for event in events:
            self.history.add(event)
        self.history.end()

    async def _conclude(self, coordinator: Coordinator) -> None:
        try:
            self.result = await coordinator.result()
        except TierwiseError as error:
            self.failure = str(error)

    def leave(self) -> None:
        """Stop coordinating; `gone` tells when that is done."""
        self._leaving.set()

    def standing(self) -> Standing:
        """Return where it stands."""
        state = None if self._coordinator is None else self._coordinator.federation.state
        groups = {} if state is None else state.groups
        return Standing(
            name=self.asked.name,
            stage="starting" if state is None else state.stage,
            devices=0 if state is None else len(state.devices),
            groups=[
                GroupStanding(
                    group=name,
                    tier=None if group.tier is None else group.tier.name,
                    devices=len(group.members),
                    phase=group.phase,
                    round=group.round,
                    metrics=_means(group.metrics or (group.history[-1].metrics if group.history else {})),
                    reason=group.ending,
                )
                for name, group in groups.items()
            ],
            failure=self.failure,
        )


class Federations:
    """All of them, by name.

    Parameters
    ----------
    settings
        The service's.
    tasks
        What they run in; it outlives every request.
    """

    def __init__(self, settings: Settings, tasks: TaskGroup) -> None:
        self._settings = settings
        self._tasks = tasks
        self._plugins = Plugins.discover()
        self._hosted: dict[str, Hosted] = {}

    def names(self) -> list[str]:
        """Return the names of all, sorted."""
        return sorted(self._hosted)

    def find(self, name: str) -> Hosted | None:
        """Return one, or None."""
        return self._hosted.get(name)

    async def start(self, asked: Asked) -> Hosted:
        """Start one whose name nobody has, and return when it is connected to the broker.

        Nothing waits before the name is taken: of two at once, the second finds the first.

        Raises
        ------
        TierwiseError
            If it cannot be: the broker cannot be reached, there is no such data source or registry. Nothing is left.
        """
        hosted = self._hosted[asked.name] = Hosted(asked, self._settings, self._plugins)
        try:
            await anyio.to_thread.run_sync(self._plugins.data_source, asked.data)  # it may import much
            hosted.folder.mkdir(parents=True)
            (hosted.folder / _ASKED).write_bytes(msgspec.json.encode(asked))
            await self._tasks.start(hosted.run)
        except BaseException:
            del self._hosted[asked.name]
            hosted.gone.set()
            shutil.rmtree(hosted.folder, ignore_errors=True)
            raise
        return hosted

    async def forget(self, hosted: Hosted) -> None:
        """Stop one, and delete what is kept of it."""
        hosted.leave()
        await hosted.gone.wait()
        if self._hosted.pop(hosted.asked.name, None) is hosted:
            await anyio.to_thread.run_sync(shutil.rmtree, hosted.folder, True)

    async def go_on(self) -> None:
        """Go on with those that an earlier service was stopped with."""
        for path in sorted(self._settings.folder.glob(f"*/{_ASKED}")):
            asked = msgspec.json.decode(path.read_bytes(), type=Asked)
            hosted = self._hosted[asked.name] = Hosted(asked, self._settings, self._plugins)
            try:
                await self._tasks.start(hosted.run)
            except TierwiseError as error:
                _LOG.error("federation %s cannot go on: %s", asked.name, error)
                hosted.failure = str(error)

    def end_streams(self) -> None:
        """Let everybody who watches come to an end: the service is being stopped."""
        for hosted in self._hosted.values():
            hosted.history.end()


def _means(metrics: Metrics) -> dict[str, float]:
    return {name: metric.mean for name, metric in metrics.items() if metric.count}
