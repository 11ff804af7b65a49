"""A process with some devices: real agents, each with a connection of its own. Run by these tests.

``crew.py BROKER FEDERATION DEVICE=PART:FLOPS:MEMORY...`` prints a JSON line for each target model that a device gets.
It is what `tierwise agent` is, but for its keep-alive of a second or two, so that a test need not wait for a minute
until the broker notices that a device is gone.
"""

import functools
import json
import logging
import sys

import anyio

from tierwise.core.hardware import HardwareProfile
from tierwise.core.insistence import AgentSettings
from tierwise.plugins.manager import Plugins
from tierwise.runtime.agent import Agent
from tierwise.runtime.cli.dataspec import read_data_spec
from tierwise.runtime.security.signing import UnsignedSigner, UnsignedVerifier
from tierwise.runtime.transports.mqtt.agent import MqttAgent
from tierwise.runtime.transports.mqtt.settings import MqttSettings

INSISTENT = AgentSettings(retry_s=1.0, retry_limit_s=4.0, poll_s=10.0)


async def live(settings: MqttSettings, known: Plugins, device: str, part: str, flops: str, memory: str) -> None:
    spec = read_data_spec(f"clouds:part={part},parts=9", known)
    federation = settings.federation
    agent = Agent(
        device,
        task=spec.source.task,
        data=spec.load(),
        transport=MqttAgent(settings, device, UnsignedSigner(device, federation), UnsignedVerifier(federation)),
        declared=HardwareProfile.declared(cpu_flops=float(flops), memory_bytes=float(memory)),
        probes=[],
        plugins=known,
        settings=INSISTENT,
    )
    async with agent:
        target = await agent.target()
    model = None if target is None else target.model.identity
    print(json.dumps({"device": device, "group": target and target.group, "model": model}), flush=True)


async def main(broker: str, federation: str, *devices: str) -> None:
    known = Plugins.discover()
    settings = MqttSettings(
        broker=broker, federation=federation, insecure=True, keepalive_s=2, reconnect_s=0.2, reconnect_limit_s=1.0
    )
    async with anyio.create_task_group() as tasks:
        for device in devices:
            name, _, rest = device.partition("=")
            tasks.start_soon(functools.partial(live, settings, known, name, *rest.split(":")))


logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
anyio.run(functools.partial(main, *sys.argv[1:]))
