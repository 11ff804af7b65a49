"""Simulated devices that send large updates without training, in processes of their own."""

import asyncio
import hashlib
import multiprocessing
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Final, Self

import anyio
import numpy as np

from tierwise.core import messages as m
from tierwise.core.edges import Reconnected
from tierwise.core.envelope import open_from_coordinator, seal
from tierwise.core.framing import to_bytes
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash
from tierwise.core.metrics import Metric
from tierwise.core.task import Task
from tierwise.core.weights import Weights
from tierwise.runtime.cli.agent_link import AgentOptions, agent_link
from tierwise.runtime.transports.mqtt.agent import MqttAgent

PROCESSES: Final = 2
READY: Final = 12
"""Devices of a process that have an update in memory at the same time."""
TASK: Final = Task(name="noise", features=1000, classes=tuple("abcdefghij"), metrics=("accuracy",))


class Senders:
    """Devices in processes that end with the context.

    Parameters
    ----------
    broker, federation
        Where.
    bundles
        By device; None for a device that does not sign.
    """

    def __init__(self, broker: str, federation: str, bundles: Mapping[str, Path | None]) -> None:
        context = multiprocessing.get_context("spawn")
        names = sorted(bundles)
        parts = [{name: bundles[name] for name in names[number::PROCESSES]} for number in range(PROCESSES)]
        self._processes = [
            context.Process(target=_send_all, args=(broker, federation, part), daemon=True) for part in parts
        ]

    @property
    def failed(self) -> bool:
        """Whether a process ended with an error."""
        return any(process.exitcode for process in self._processes)

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()


def _send_all(broker: str, federation: str, bundles: Mapping[str, Path | None]) -> None:
    asyncio.run(_Crew(broker, federation, bundles).run())


class _Crew:
    """The devices of one process."""

    def __init__(self, broker: str, federation: str, bundles: Mapping[str, Path | None]) -> None:
        self._broker = broker
        self._federation = federation
        self._bundles = bundles
        self._room = anyio.Semaphore(READY)
        self._announced = anyio.Event()
        self._round: m.RoundAnnounced | None = None
        self._noise: bytearray | None = None
        """The frame of an update; each device writes its number over the last values."""

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            for number, name in enumerate(self._bundles):
                tasks.start_soon(self._take_part, name, number)

    async def _take_part(self, name: str, number: int) -> None:
        bundle = self._bundles[name]
        if bundle is None:
            options = AgentOptions(broker=self._broker, device=name, federation=self._federation)
        else:
            options = AgentOptions(bundle=bundle)
        link = agent_link(options)
        async with link.transport.connect():
            profile = HardwareProfile.declared(cpu_flops=1e12, memory_bytes=1e11)
            await link.transport.send(seal(m.Hello(schema_hash=TASK.schema_hash, profile=profile)))
            said = self._said(link.transport)
            assignment = await self._assigned(said)
            if number == 0:
                self._noise = _noise(assignment)
                await link.transport.follow(assignment.group)
                self._round = await self._opened(said)
                self._announced.set()
            await self._announced.wait()
            async with self._room:
                await self._send_update(link.transport, number)
                while not isinstance(message := await anext(said), m.Receipt):
                    pass
                if message.refusal is not None:
                    raise RuntimeError(f"the update of {name} was refused: {message.reason}")

    async def _send_update(self, transport: MqttAgent, number: int) -> None:
        assert self._round is not None
        assert self._noise is not None
        self._noise[-4:] = np.float32(1 + number).tobytes()
        body = bytes(self._noise)
        blob = BlobHash(await anyio.to_thread.run_sync(lambda: hashlib.sha256(body).hexdigest()))
        message = m.UpdateSent(
            cohort=self._round.cohort,
            base=self._round.model,
            blob=blob,
            samples=1,
            metrics={"accuracy": Metric(sum=1.0, count=2)},
        )
        await transport.send(seal(message, body))

    @staticmethod
    async def _said(transport: MqttAgent) -> AsyncGenerator[m.CoordinatorMessage, None]:
        async for arrived in transport.receive():
            if not isinstance(arrived, Reconnected):
                yield open_from_coordinator(arrived)[0]

    @staticmethod
    async def _assigned(said: AsyncGenerator[m.CoordinatorMessage, None]) -> m.Assignment:
        async for message in said:
            if isinstance(message, m.Welcome | m.Assigned) and message.assignment is not None:
                return message.assignment
        raise RuntimeError("the transport has ended")

    @staticmethod
    async def _opened(said: AsyncGenerator[m.CoordinatorMessage, None]) -> m.RoundAnnounced:
        async for message in said:
            if isinstance(message, m.RoundAnnounced):
                return message
        raise RuntimeError("the transport has ended")


def _noise(assignment: m.Assignment) -> bytearray:
    layout = assignment.tier.layout
    values = np.random.default_rng(1).standard_normal(layout.size, np.float32)
    return bytearray(to_bytes(Weights(layout, values)))
