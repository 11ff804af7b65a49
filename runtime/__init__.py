"""The drivers: coordinator, agent, simulation; the layer that has the network, the disk, clocks and threads.

The names below are imported when they are used, so that ``tierwise --help`` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tierwise.runtime.agent import Agent, Target
    from tierwise.runtime.coordinator import Coordinator
    from tierwise.runtime.links import mqtt_coordinator
    from tierwise.runtime.models import TargetModel, load_model
    from tierwise.runtime.own_data import OwnData
    from tierwise.runtime.policies import AggregatorChoice, Choice, Policies
    from tierwise.runtime.result import FederationResult, GroupResult
    from tierwise.runtime.simulation.fleet import DeviceSpec
    from tierwise.runtime.simulation.run import Simulation, simulate
    from tierwise.runtime.stores.memory import MemoryStore
    from tierwise.runtime.stores.sqlite import SqliteStore
    from tierwise.runtime.transports.memory import MemoryNetwork
    from tierwise.runtime.transports.mqtt.coordinator import MqttCoordinator
    from tierwise.runtime.transports.mqtt.settings import MqttSettings

__all__ = [
    "Agent",
    "AggregatorChoice",
    "Choice",
    "Coordinator",
    "DeviceSpec",
    "FederationResult",
    "GroupResult",
    "MemoryNetwork",
    "MemoryStore",
    "MqttCoordinator",
    "MqttSettings",
    "OwnData",
    "Policies",
    "Simulation",
    "SqliteStore",
    "Target",
    "TargetModel",
    "load_model",
    "mqtt_coordinator",
    "simulate",
]

_HOMES: Final = {
    "Agent": "agent",
    "AggregatorChoice": "policies",
    "Choice": "policies",
    "Coordinator": "coordinator",
    "DeviceSpec": "simulation.fleet",
    "FederationResult": "result",
    "GroupResult": "result",
    "MemoryNetwork": "transports.memory",
    "MemoryStore": "stores.memory",
    "MqttCoordinator": "transports.mqtt.coordinator",
    "MqttSettings": "transports.mqtt.settings",
    "OwnData": "own_data",
    "Policies": "policies",
    "Simulation": "simulation.run",
    "SqliteStore": "stores.sqlite",
    "Target": "agent",
    "TargetModel": "models",
    "load_model": "models",
    "mqtt_coordinator": "links",
    "simulate": "simulation.run",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
