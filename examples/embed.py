"""A federation inside an async program: a coordinator and nine agents on one event loop, on real data."""

import asyncio

import anyio

from tierwise.core import EnrolmentSettings, FederationSettings, HardwareProfile, RoundSettings
from tierwise.core.events import GroupsFormed, RoundClosed, TierAssigned
from tierwise.plugins import Plugins
from tierwise.runtime import Agent, Choice, Coordinator, MemoryNetwork, Policies

DEVICES = 9
plugins = Plugins.discover()
digits = plugins.data_source("digits")
settings = FederationSettings(
    name="embedded",
    task=digits.task,
    enrolment=EnrolmentSettings(min_devices=DEVICES),
    rounds=RoundSettings(deadline_s=30, epochs=5),
)
policies = Policies(grouping=Choice(name="quantile"), stop=Choice(name="rounds", options={"rounds": 10}))


# Reading takes a moment, so it is done before the event loop runs.
local = [digits.load(number, DEVICES, seed=0) for number in range(DEVICES)]


async def device(number: int, network: MemoryNetwork) -> None:
    name = f"device-{number}"
    declared = HardwareProfile.declared(cpu_flops=10.0 ** (4 + number // 3))  # three kinds of hardware
    async with Agent(
        name, task=digits.task, data=local[number], transport=network.agent(name), declared=declared, plugins=plugins
    ) as agent:
        target = await agent.target()
        assert target is not None
        print(f"{name} got {target.tier.name} of {target.group}")


async def main() -> None:
    network = MemoryNetwork()
    async with (
        Coordinator(settings, transport=network.coordinator(), policies=policies, plugins=plugins) as coordinator,
        anyio.create_task_group() as tasks,
    ):
        for number in range(DEVICES):
            tasks.start_soon(device, number, network)
        async for event in coordinator.events(GroupsFormed, TierAssigned, RoundClosed):
            match event:
                case GroupsFormed():
                    print("groups:", *(" ".join(formed.devices) for formed in event.groups), sep="\n  ")
                case TierAssigned():
                    print(f"{event.group} trains {event.tier.name}, {event.tier.cost.parameters} parameters")
                case RoundClosed():
                    print(f"{event.group} round {event.round}: accuracy {event.metrics['accuracy'].mean:.3f} before it")
        for group in (await coordinator.result()).groups:
            print(f"{group.group}: {group.tier.name}, accuracy {group.metrics['accuracy'].mean:.3f}, {group.reason}")


if __name__ == "__main__":
    asyncio.run(main())
