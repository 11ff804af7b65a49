"""What the demonstration compares, fixed before any result is known."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Final

from tierwise.core.errors import ConfigurationError
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import DataSource, FitBudget, KnowsDevices, LocalData, Reserving, reserved_of
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Loss, Task
from tierwise.core.tiers import Cost, Tier
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli.dataspec import Share, read_data_spec
from tierwise.runtime.fleet.catalogue import DeviceModel
from tierwise.runtime.fleet.draw import draw_fleet, read_fleet
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec

DEVICES: Final = 60
ROUNDS: Final = 30
GROUPS: Final = 3
PUBLIC: Final = 150
"""Digits that the coordinator holds and no device has; it does not look at their labels."""
BUDGET: Final = FitBudget(epochs=5, max_samples=200)
EVALUATION_DEADLINE_S: Final = 60.0
"""The closing evaluation has no use for a deadline: every device is to be heard on its hold-out."""
DATA: Final = f"digits:partition=dirichlet,alpha=0.3,reserved={PUBLIC}"


class ArmName(StrEnum):
    """The federations on one fleet."""

    TIERWISE = "tierwise"
    ISOLATED = "isolated groups"
    LARGEST = "largest for all"
    SMALLEST = "smallest for all"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user brings.

    Attributes
    ----------
    data
        As ``--data`` has it; `DATA` by default.
    fleet
        A table of devices; None for devices drawn from the catalogue.
    """

    data: str = DATA
    fleet: Path | None = None


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
    settings
        Of every federation; the deadline is the time in which the median device finishes a round of the largest tier.
    arms
        The federations.
    """

    seed: int
    models: dict[DeviceId, DeviceModel] | None
    devices: dict[DeviceId, DeviceSpec]
    public: int
    settings: FederationSettings
    arms: tuple[Arm, ...]

    @property
    def deadline_s(self) -> float:
        """Of every round, in seconds."""
        return self.settings.rounds.deadline_s

    def arm(self, name: ArmName) -> Arm:
        """Return the federation of a name."""
        return next(arm for arm in self.arms if arm.name is name)


def make_plan(seed: int, plugins: Plugins, wanted: Wanted = Wanted()) -> Plan:
    """Draw or read a fleet, deal out the data, and fix the deadline.

    Raises
    ------
    ConfigurationError
        If the data or the fleet cannot be read, or do not go together.
    """
    source = _source(wanted, plugins)
    profiles, models = _fleet(seed, source, wanted)
    try:
        data = {name: source.load(part, len(profiles), seed) for part, name in enumerate(profiles)}
        public = reserved_of(source, seed).features if _reserves(source, seed) else None
    except ConfigurationError as error:
        raise ConfigurationError(str(error), source=f"--data {wanted.data}") from error
    devices = {name: DeviceSpec(profile, data[name]) for name, profile in profiles.items()}
    ladder = plugins.tier_provider("mlp").offers(source.task)
    return Plan(
        seed=seed,
        models=models,
        devices=devices,
        public=0 if public is None else len(public),
        settings=_settings(source.task, seed, median_round_s(ladder[-1].cost, devices), len(devices)),
        arms=tuple(_arms(len(devices), ladder[0], ladder[-1], None if public is None else OwnData(public=public))),
    )


def median_round_s(cost: Cost, devices: dict[DeviceId, DeviceSpec]) -> float:
    """Return the time in which the median device finishes a round of a model: download, fit, upload."""
    return median(_round_s(cost, spec.profile, spec.data) for spec in devices.values())


def _round_s(cost: Cost, profile: HardwareProfile, data: LocalData) -> float:
    fit_samples = BUDGET.samples(len(data.train))
    return cost.predict(profile, fit_samples=fit_samples, evaluate_samples=len(data.holdout)).round_s


# -- what the user brings


def _source(wanted: Wanted, plugins: Plugins) -> DataSource:
    spec = read_data_spec(wanted.data, plugins)
    if spec.share != Share():
        raise ConfigurationError(
            "part, parts and seed are for one device; the demonstration deals the data out to all, with seeds of its "
            "own: leave them out",
            source=f"--data {wanted.data}",
        )
    try:
        task = spec.source.task
    except ConfigurationError as error:
        raise ConfigurationError(str(error), source=f"--data {wanted.data}") from error
    if task.loss is not Loss.CROSS_ENTROPY or "accuracy" not in task.metrics:
        raise ConfigurationError(
            f"task {task.name!r} has the metrics {', '.join(task.metrics)}, and the demonstration compares accuracies: "
            "take a classification, or `tierwise simulate`",
            source=f"--data {wanted.data}",
        )
    return spec.source


def _fleet(
    seed: int, source: DataSource, wanted: Wanted
) -> tuple[dict[DeviceId, HardwareProfile], dict[DeviceId, DeviceModel] | None]:
    named = source.devices() if isinstance(source, KnowsDevices) else ()
    if wanted.fleet is None:
        drawn = draw_fleet(len(named) or DEVICES, seed)
        if len(drawn) < MINIMUM:
            raise ConfigurationError(
                f"is of {len(drawn)} devices, a federation needs at least {MINIMUM}", source=f"--data {wanted.data}"
            )
        return {name: one.profile for name, one in drawn.items()}, {name: one.model for name, one in drawn.items()}
    profiles = read_fleet(wanted.fleet)
    if named and len(named) != len(profiles):
        raise ConfigurationError(
            f"has {len(profiles)} devices, and the data are of {len(named)}: each device has its own",
            source=str(wanted.fleet),
        )
    return profiles, None


def _reserves(source: DataSource, seed: int) -> bool:
    """Tell whether a source sets samples apart; one that can, and was not told to, does not."""
    if not isinstance(source, Reserving):
        return False
    try:
        return len(source.reserved(seed)) > 0
    except ConfigurationError:
        return False


# -- the federations


def _arms(devices: int, smallest: Tier, largest: Tier, own: OwnData | None) -> list[Arm]:
    stop = Choice(name="rounds", options={"rounds": ROUNDS})
    groups = _quantile(min(GROUPS, devices // MINIMUM))
    alone = Policies(grouping=groups, stop=stop)
    together = Policies(grouping=groups, exchange=Choice(name="distill"), stop=stop)
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
