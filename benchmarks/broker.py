"""A mosquitto for benchmarks, and what it does by itself: the limits that figures over MQTT are shown beside."""

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiomqtt
from report import skip

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

HOST: Final = "127.0.0.1"
PLACES: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
NO_DELAY: Final = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""As tierwise has it; without, a message with QoS 1 takes 40 ms more."""
WINDOW: Final = 8
"""Messages that a raw publisher has under way."""


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A running broker."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """As tierwise names it."""
        return f"mqtt://{HOST}:{self.port}"


@contextmanager
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    """Run a broker on a free port of this machine as long as the context lasts."""
    program = shutil.which("mosquitto", path=PLACES)
    if program is None:
        skip("this needs mosquitto: `apt-get install mosquitto` brings it")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} {HOST}\nallow_anonymous true\nset_tcp_nodelay true\n")
    process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"mosquitto does not start: `{program} -c {config}` shows why")
                time.sleep(0.01)
        yield Mosquitto(port, process.pid)
    finally:
        process.terminate()
        process.wait()


async def round_trips(broker: Mosquitto, *, size: int, devices: int, count: int) -> list[float]:
    """Measure the least that a round can take: one message to all, one message back from each, with QoS 1.

    All clients are in this process, and do nothing else.

    Returns
    -------
    list of float
        Seconds from the publication until the last answer has arrived.
    """
    payload = os.urandom(size)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(broker))
        await client.subscribe("bench/back", qos=1)
        for _ in range(devices):
            await stack.enter_async_context(_echoing(broker, payload))
        arrivals, taken = client.messages, []
        for _ in range(count):
            start = time.perf_counter()
            await client.publish("bench/out", payload, qos=1)
            for _ in range(devices):
                await anext(arrivals)
            taken.append(time.perf_counter() - start)
    return taken


@asynccontextmanager
async def _echoing(broker: Mosquitto, payload: bytes) -> AsyncIterator[None]:
    async def echo() -> None:
        async for _ in client.messages:
            await client.publish("bench/back", payload, qos=1)

    async with _client(broker) as client:
        await client.subscribe("bench/out", qos=1)
        task = asyncio.create_task(echo())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def _client(broker: Mosquitto) -> aiomqtt.Client:
    return aiomqtt.Client(HOST, broker.port, socket_options=NO_DELAY)


def one_way_rate(broker: Mosquitto, *, size: int, count: int) -> float:
    """Measure how many messages a second go from one client to another with QoS 1, each a process of its own."""
    context = multiprocessing.get_context("spawn")
    told, telling = context.Pipe(duplex=False)
    subscriber = context.Process(target=_subscribe, args=(broker, count, telling), daemon=True)
    subscriber.start()
    telling.close()  # or nobody would notice its end
    told.recv()  # it listens
    start = time.perf_counter()
    asyncio.run(_publish(broker, size, count))
    told.recv()  # it has them all
    taken_s = time.perf_counter() - start
    subscriber.join()
    return count / taken_s


def _subscribe(broker: Mosquitto, count: int, telling: "Connection") -> None:
    async def take() -> None:
        async with _client(broker) as client:
            await client.subscribe("bench/rate", qos=1)
            telling.send("listening")
            for _ in range(count):
                await anext(client.messages)
            telling.send("done")

    asyncio.run(take())


async def _publish(broker: Mosquitto, size: int, count: int) -> None:
    payload, left = os.urandom(size), count

    async def publish() -> None:
        nonlocal left
        while left:
            left -= 1
            await client.publish("bench/rate", payload, qos=1)

    async with _client(broker) as client:
        await asyncio.gather(*(publish() for _ in range(WINDOW)))
