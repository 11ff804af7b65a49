"""What the demonstration compares, fixed before any result is known."""

from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

import numpy as np

from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import FitBudget, LocalData
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, Tier
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.brought import EXCHANGE, USUAL, Wanted, named_data, read_brought, read_devices
from tierwise.runtime.fleet.catalogue import DeviceModel
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec

ROUNDS: Final = 30
GROUPS: Final = 3
BUDGET: Final = FitBudget(epochs=5, max_samples=200)
EVALUATION_DEADLINE_S: Final = 60.0
"""The closing evaluation has no use for a deadline: every device is to be heard on its hold-out."""


class ArmName(StrEnum):
    """The federations on one fleet."""

    TIERWISE = "tierwise"
    ISOLATED = "isolated groups"
    LARGEST = "largest for all"
    SMALLEST = "smallest for all"


@dataclass(frozen=True, slots=True)
class Arm:
    """A federation to be run."""

    name: ArmName
    policies: Policies
    own: OwnData | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One seed's fleet, and the federations on it, which differ in nothing but groups, tiers and exchange.

    Attributes
    ----------
    seed
        Of the fleet, the partition of the data, and all federations.
    models
        Which device model each device is; None for a fleet of the user's.
    devices
        Hardware and data of each.
    public
        How many unlabelled samples the coordinator holds; 0 for none, then there is no exchange.
    because
        Why features are standardised or not, for people; empty where there is nothing to say.
    dealt
        Whether samples are dealt out to the devices; otherwise each has its own.
    settings
        Of every federation; the deadline is the time in which the median device finishes a round of the largest tier.
    arms
        The federations.
    """

    seed: int
    models: dict[DeviceId, DeviceModel] | None
    devices: dict[DeviceId, DeviceSpec]
    public: int
    because: str
    dealt: bool
    settings: FederationSettings
    arms: tuple[Arm, ...]

    @property
    def largest_class(self) -> float:
        """The share of the most frequent class in all hold-outs: the accuracy of always answering it."""
        labels = np.concatenate([spec.data.holdout.labels for spec in self.devices.values()])
        return float(np.unique(labels, return_counts=True)[1].max() / len(labels)) if len(labels) else 0.0

    @property
    def deadline_s(self) -> float:
        """Of every round, in seconds."""
        return self.settings.rounds.deadline_s

    def arm(self, name: ArmName) -> Arm:
        """Return the federation of a name."""
        return next(arm for arm in self.arms if arm.name is name)


def make_plan(seed: int, plugins: Plugins, wanted: Wanted = USUAL) -> Plan:
    """Draw or read a fleet, deal out the data, and fix the deadline.

    Raises
    ------
    ConfigurationError
        If the data or the fleet cannot be read, or do not go together.
    """
    brought = read_brought(wanted, plugins)
    source, task = brought.source, brought.task
    profiles, models = read_devices(seed, brought, wanted)
    data = named_data(
        wanted, lambda: {name: source.load(part, len(profiles), seed) for part, name in enumerate(profiles)}
    )
    public = named_data(wanted, lambda: brought.read_public(seed))
    devices = {name: DeviceSpec(profile, data[name]) for name, profile in profiles.items()}
    ladder = plugins.tier_provider("mlp").offers(task)
    return Plan(
        seed=seed,
        models=models,
        devices=devices,
        public=0 if public is None else len(public),
        because=brought.because,
        dealt=not brought.named,
        settings=_settings(task, seed, median_round_s(ladder[-1].cost, devices), len(devices)),
        arms=tuple(_arms(len(devices), ladder[0], ladder[-1], None if public is None else OwnData(public=public))),
    )


def median_round_s(cost: Cost, devices: dict[DeviceId, DeviceSpec]) -> float:
    """Return the time in which the median device finishes a round of a model: download, fit, upload."""
    return median(_round_s(cost, spec.profile, spec.data) for spec in devices.values())


def _round_s(cost: Cost, profile: HardwareProfile, data: LocalData) -> float:
    fit_samples = BUDGET.samples(len(data.train))
    return cost.predict(profile, fit_samples=fit_samples, evaluate_samples=len(data.holdout)).round_s


# -- the federations


def _arms(devices: int, smallest: Tier, largest: Tier, own: OwnData | None) -> list[Arm]:
    stop = Choice(name="rounds", options={"rounds": ROUNDS})
    groups = _quantile(min(GROUPS, devices // MINIMUM))
    alone = Policies(grouping=groups, stop=stop)
    together = Policies(grouping=groups, exchange=EXCHANGE, stop=stop)
    return [
        *([Arm(ArmName.TIERWISE, together, own)] if own else []),
        Arm(ArmName.ISOLATED if own else ArmName.TIERWISE, alone),
        Arm(ArmName.LARGEST, Policies(grouping=_quantile(1), tiers=_only(largest), stop=stop)),
        Arm(ArmName.SMALLEST, Policies(grouping=_quantile(1), tiers=_only(smallest), stop=stop)),
    ]


def _settings(task: Task, seed: int, deadline_s: float, devices: int) -> FederationSettings:
    return FederationSettings(
        name="demo",
        task=task,
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=devices, window_s=None),
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
