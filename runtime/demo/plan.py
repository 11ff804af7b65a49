"""What the demonstration compares, fixed before any result is known."""

from dataclasses import dataclass
from statistics import median
from typing import Final

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import FitBudget, LocalData
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, Tier
from tierwise.plugins.manager import Plugins
from tierwise.runtime.fleet.catalogue import DeviceModel
from tierwise.runtime.fleet.draw import draw_fleet
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec

DEVICES: Final = 60
ROUNDS: Final = 30
GROUPS: Final = 3
BUDGET: Final = FitBudget(epochs=5, max_samples=200)
EVALUATION_DEADLINE_S: Final = 60.0
"""The closing evaluation has no use for a deadline: every device is to be heard on its hold-out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One seed's fleet, and the two federations on it.

    Attributes
    ----------
    seed
        Of the fleet, the partition of the data, and both federations.
    models
        Which device model each device is.
    devices
        Hardware and data of each.
    deadline_s
        The time in which the median device finishes a round of the largest tier.
    grouped, single
        Groups with fitting tiers; one model for all, of the largest tier.
    """

    seed: int
    models: dict[DeviceId, DeviceModel]
    devices: dict[DeviceId, DeviceSpec]
    deadline_s: float
    grouped: "Arm"
    single: "Arm"


@dataclass(frozen=True, slots=True)
class Arm:
    """A federation to be run."""

    settings: FederationSettings
    policies: Policies


def make_plan(seed: int, plugins: Plugins) -> Plan:
    """Draw a fleet, deal out the data, and fix the deadline."""
    source = plugins.data_source("digits", {"partition": "dirichlet", "alpha": 0.3})
    drawn = draw_fleet(DEVICES, seed)
    data = {name: source.load(part, DEVICES, seed) for part, name in enumerate(drawn)}
    devices = {name: DeviceSpec(drawn[name].profile, data[name]) for name in drawn}
    ladder = plugins.tier_provider("mlp").offers(source.task)
    deadline_s = median_round_s(ladder[-1].cost, devices)
    settings = _settings(source.task, seed, deadline_s)
    stop = Choice(name="rounds", options={"rounds": ROUNDS})
    return Plan(
        seed=seed,
        models={name: drawn[name].model for name in drawn},
        devices=devices,
        deadline_s=deadline_s,
        grouped=Arm(settings, Policies(grouping=_quantile(GROUPS), stop=stop)),
        single=Arm(settings, Policies(grouping=_quantile(1), tiers=_only(ladder[-1]), stop=stop)),
    )


def median_round_s(cost: Cost, devices: dict[DeviceId, DeviceSpec]) -> float:
    """Return the time in which the median device finishes a round of a model: download, fit, upload."""
    return median(_round_s(cost, spec.profile, spec.data) for spec in devices.values())


def _round_s(cost: Cost, profile: HardwareProfile, data: LocalData) -> float:
    fit_samples = BUDGET.samples(len(data.train))
    return cost.predict(profile, fit_samples=fit_samples, evaluate_samples=len(data.holdout)).round_s


def _settings(task: Task, seed: int, deadline_s: float) -> FederationSettings:
    return FederationSettings(
        name="demo",
        task=task,
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=DEVICES, window_s=None),
        rounds=RoundSettings(
            deadline_s=deadline_s,
            epochs=BUDGET.epochs,
            max_samples=BUDGET.max_samples,
            evaluation_deadline_s=EVALUATION_DEADLINE_S,
        ),
    )


def _quantile(groups: int) -> Choice:
    return Choice(name="quantile", options={"groups": groups})


def _only(tier: Tier) -> Choice:
    return Choice(name="mlp", options={"hidden": [tier.options["hidden"]]})
