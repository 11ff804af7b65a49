"""What a federation is: events, bus, hardware profiles, weights, all contracts, the machines of both sides.

No I/O, no wall clock, no globals. The names below are the domain's; they are imported when they are used. Everything
else that a module offers without an underscore can be imported from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tierwise.core.aggregation import (
        Need,
        OptimizerState,
        Reducer,
        ServerOptimizer,
        SurveyingReducer,
        Weighing,
    )
    from tierwise.core.bus import EventBus, SubscriberFailed, Subscription
    from tierwise.core.coding import ArrayForm, Codec, Dtype, SumsCoded
    from tierwise.core.edges import AgentTransport, Compute, CoordinatorTransport, Store
    from tierwise.core.errors import TierwiseError
    from tierwise.core.events import Event, Notice, Record
    from tierwise.core.federation import Federation
    from tierwise.core.grouping import Grouping, GroupingPolicy
    from tierwise.core.hardware import HardwareEnvelope, HardwareProfile, Probe, Quantity, Unmeasured
    from tierwise.core.ids import DeviceId, GroupId, TierName
    from tierwise.core.learning import Dataset, DataSource, Fit, FitBudget, Learner, LocalData, StopToken
    from tierwise.core.metrics import Metric, Metrics
    from tierwise.core.selection import Postponed, Selector
    from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings, UpdateSettings
    from tierwise.core.stopping import RoundRecord, StopRule
    from tierwise.core.task import Task
    from tierwise.core.tiers import CodecChoice, Cost, Excess, Limit, Prediction, RoundLimits, Tier, TierProvider
    from tierwise.core.weights import Layout, Role, TensorSpec, Weights

_HOMES: Final = {
    "aggregation": ("Need", "OptimizerState", "Reducer", "ServerOptimizer", "SurveyingReducer", "Weighing"),
    "bus": ("EventBus", "SubscriberFailed", "Subscription"),
    "coding": ("ArrayForm", "Codec", "Dtype", "SumsCoded"),
    "edges": ("AgentTransport", "Compute", "CoordinatorTransport", "Store"),
    "errors": ("TierwiseError",),
    "events": ("Event", "Notice", "Record"),
    "federation": ("Federation",),
    "grouping": ("Grouping", "GroupingPolicy"),
    "hardware": ("HardwareEnvelope", "HardwareProfile", "Probe", "Quantity", "Unmeasured"),
    "ids": ("DeviceId", "GroupId", "TierName"),
    "learning": ("DataSource", "Dataset", "Fit", "FitBudget", "Learner", "LocalData", "StopToken"),
    "metrics": ("Metric", "Metrics"),
    "selection": ("Postponed", "Selector"),
    "settings": ("EnrolmentSettings", "FederationSettings", "RoundSettings", "UpdateSettings"),
    "stopping": ("RoundRecord", "StopRule"),
    "task": ("Task",),
    "tiers": ("CodecChoice", "Cost", "Excess", "Limit", "Prediction", "RoundLimits", "Tier", "TierProvider"),
    "weights": ("Layout", "Role", "TensorSpec", "Weights"),
}
_MODULES: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AgentTransport",
    "ArrayForm",
    "Codec",
    "CodecChoice",
    "Compute",
    "CoordinatorTransport",
    "Cost",
    "DataSource",
    "Dataset",
    "DeviceId",
    "Dtype",
    "EnrolmentSettings",
    "Event",
    "EventBus",
    "Excess",
    "Federation",
    "FederationSettings",
    "Fit",
    "FitBudget",
    "GroupId",
    "Grouping",
    "GroupingPolicy",
    "HardwareEnvelope",
    "HardwareProfile",
    "Layout",
    "Learner",
    "Limit",
    "LocalData",
    "Metric",
    "Metrics",
    "Need",
    "Notice",
    "OptimizerState",
    "Postponed",
    "Prediction",
    "Probe",
    "Quantity",
    "Record",
    "Reducer",
    "Role",
    "RoundLimits",
    "RoundRecord",
    "RoundSettings",
    "Selector",
    "ServerOptimizer",
    "StopRule",
    "StopToken",
    "Store",
    "SubscriberFailed",
    "Subscription",
    "SumsCoded",
    "SurveyingReducer",
    "Task",
    "TensorSpec",
    "Tier",
    "TierName",
    "TierProvider",
    "TierwiseError",
    "Unmeasured",
    "UpdateSettings",
    "Weighing",
    "Weights",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
