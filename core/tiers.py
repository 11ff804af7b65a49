"""Tiers: models sized for a hardware envelope, what they cost, and the contract of those who provide them."""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from tierwise.core.hardware import POWER, HardwareEnvelope, HardwareProfile
from tierwise.core.ids import TierName
from tierwise.core.task import Task
from tierwise.core.weights import Layout, Weights

OptionValues = dict[str, Any]
"""A plugin's options as plain values, the way they stand in a TOML file; the plugin's options type checks them."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a model asks of a device.

    Attributes
    ----------
    parameters
        Number of values.
    fit_flops_per_sample
        Floating-point operations to train on one sample once (forward and backward pass).
    evaluate_flops_per_sample
        Floating-point operations of one forward pass.
    bytes
        Of the model on the wire, on its way to the device.
    memory_bytes
        Needed at the most while a device trains.
    upload_bytes
        Of an update on the wire; None for as many as of the model.
    """

    parameters: int
    fit_flops_per_sample: float
    evaluate_flops_per_sample: float
    bytes: int
    memory_bytes: int
    upload_bytes: int | None = None

    @property
    def update_bytes(self) -> int:
        """What an update takes on the wire."""
        return self.bytes if self.upload_bytes is None else self.upload_bytes

    def compute_s(self, profile: HardwareProfile, *, fit_samples: int, evaluate_samples: int) -> float:
        """Predict how long a device computes in a round, in seconds."""
        flops = self.fit_flops_per_sample * fit_samples + self.evaluate_flops_per_sample * evaluate_samples
        return _duration_s(flops, profile.value("cpu_flops"))

    def upload_s(self, profile: HardwareProfile) -> float:
        """Predict how long a device sends in a round, in seconds."""
        return _duration_s(self.update_bytes, profile.value("uplink_bytes_per_s"))

    def predict(self, profile: HardwareProfile, *, fit_samples: int, evaluate_samples: int) -> "Prediction":
        """Predict what a round costs a device that trains on so many samples and evaluates so many."""
        compute_s = self.compute_s(profile, fit_samples=fit_samples, evaluate_samples=evaluate_samples)
        power = profile.quantities.get(POWER)
        return Prediction(
            download_s=_duration_s(self.bytes, profile.value("downlink_bytes_per_s")),
            compute_s=compute_s,
            upload_s=self.upload_s(profile),
            memory_bytes=self.memory_bytes,
            traffic_bytes=self.bytes + self.update_bytes,
            energy_j=None if power is None else (power.value * compute_s if power.value else 0.0),
        )


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What a round of a model costs a device, as far as its hardware tells.

    Attributes
    ----------
    download_s, compute_s, upload_s
        Seconds, one after the other; infinite on a device that has 0 of what it takes.
    memory_bytes
        Needed at the most while it trains.
    traffic_bytes
        The model down, and its update up.
    energy_j
        Joules of a processor at full load for as long as it computes; None where the device's power is not known.
    """

    download_s: float
    compute_s: float
    upload_s: float
    memory_bytes: int
    traffic_bytes: int
    energy_j: float | None

    @property
    def round_s(self) -> float:
        """Seconds from the model's publication to the update's arrival."""
        return self.download_s + self.compute_s + self.upload_s

    def __add__(self, other: "Prediction") -> "Prediction":
        """Return what both rounds cost a device that does one after the other."""
        energies = (self.energy_j, other.energy_j)
        return Prediction(
            download_s=self.download_s + other.download_s,
            compute_s=self.compute_s + other.compute_s,
            upload_s=self.upload_s + other.upload_s,
            memory_bytes=max(self.memory_bytes, other.memory_bytes),
            traffic_bytes=self.traffic_bytes + other.traffic_bytes,
            energy_j=sum(known for known in energies if known is not None) if None not in energies else None,
        )


class Limit(StrEnum):
    """What a model can ask too much of."""

    MEMORY = "memory_bytes"
    DEADLINE = "deadline_s"
    TRAFFIC = "traffic_bytes"
    ENERGY = "energy_j"


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """A model that asks too much of a device.

    Attributes
    ----------
    limit
        What it asks too much of.
    needed
        How much it asks, in the unit that the limit's name ends with.
    allowed
        How much the device has, or may give.
    """

    limit: Limit
    needed: float
    allowed: float

    def __str__(self) -> str:
        if math.isinf(self.needed):
            return "a round never ends, since the device has a processor or a link of 0"
        match self.limit:
            case Limit.MEMORY:
                told = f"training takes {self.needed:,.0f} bytes of memory, the device has {self.allowed:,.0f}"
            case Limit.DEADLINE:
                told = f"a round takes {self.needed:.3g} s, {self.allowed:.3g} s are allowed"
            case Limit.TRAFFIC:
                told = f"a round moves {self.needed:,.0f} bytes, {self.allowed:,.0f} are allowed"
            case Limit.ENERGY:
                told = f"a round takes {self.needed:.3g} J, {self.allowed:.3g} J are allowed"
        if not self.allowed:
            return told
        times = self.needed / self.allowed
        return f"{told}: " + (f"{times:.3g} times as much" if times >= 2 else f"{100 * (times - 1):.3g} % too much")


class RoundLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a round may cost a device.

    Attributes
    ----------
    deadline_s
        From the model's publication to the update's arrival, in seconds.
    samples
        Processed in a fit at the most; as many again are assumed for the evaluation.
    traffic_bytes
        The model's way down and its update's way up, in bytes; None for any.
    energy_j
        Of the processor while it computes, in joules; None for any. A device whose power is not known is not judged by
        it: what nobody measured leaves nobody out.
    """

    deadline_s: float
    samples: int
    traffic_bytes: int | None = None
    energy_j: float | None = None

    def predict(self, cost: Cost, profile: HardwareProfile) -> Prediction:
        """Predict what a round costs a device of whose data no more is known than `samples`."""
        return cost.predict(profile, fit_samples=self.samples, evaluate_samples=self.samples)

    def excesses(self, cost: Cost, profile: HardwareProfile) -> tuple[Excess, ...]:
        """Return what a model asks too much of; empty if the device carries it."""
        return self.exceeded_by(self.predict(cost, profile), profile)

    def exceeded_by(self, predicted: Prediction, profile: HardwareProfile) -> tuple[Excess, ...]:
        """Return what a prediction for a device has too much of; empty if it is within the limits."""
        amounts = (
            (Limit.MEMORY, predicted.memory_bytes, profile.value("memory_bytes")),
            (Limit.DEADLINE, predicted.round_s, self.deadline_s),
            (Limit.TRAFFIC, predicted.traffic_bytes, self.traffic_bytes),
            (Limit.ENERGY, predicted.energy_j, self.energy_j),
        )
        return tuple(
            Excess(limit=limit, needed=needed, allowed=allowed)
            for limit, needed, allowed in amounts
            if needed is not None and allowed is not None and needed > allowed
        )


def fits(cost: Cost, hardware: HardwareProfile | HardwareEnvelope, limits: RoundLimits) -> bool:
    """Tell whether a device, or each of a group, carries a model: memory holds it, and a round is within the limits.

    Of an envelope with profiles, each device is asked. Of one with ranges alone, a device is assumed that has the least
    of everything: who carries nothing by that may carry it all the same.
    """
    bearers = (hardware,) if isinstance(hardware, HardwareProfile) else hardware.bearers()
    return not any(limits.excesses(cost, profile) for profile in bearers)


def _duration_s(amount: float, per_s: float) -> float:
    """Return the seconds that something takes; for ever at a rate of 0."""
    if per_s:
        return amount / per_s
    return math.inf if amount else 0.0


class CodecChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A codec's name, and its options as plain values."""

    name: str = "float32"
    options: OptionValues = {}


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """A model sized for a hardware envelope.

    Attributes
    ----------
    name
        For people, unique among a provider's offers: ``mlp-64``.
    learner
        Name of the learner plugin that computes with it.
    options
        The learner's options, as plain values.
    layout
        The model's tensors.
    cost
        What it asks of a device.
    codec
        How its updates are coded. Providers leave it alone: who chooses it puts it in.
    """

    name: TierName
    learner: str
    options: OptionValues
    layout: Layout
    cost: Cost
    codec: CodecChoice = CodecChoice()


class TierProvider(Protocol):
    """Sizes models: a plugin, made as ``Class(options)`` or ``Class()``."""

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return the tiers on offer (at least one), from the smallest to the largest `Cost`."""
        ...

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the tier for a group: one of the `offers`, that `fits` the envelope where any does.

        A stronger envelope never gets a smaller tier. When not even the smallest fits, it is returned all the
        same: the group's weakest devices will then miss rounds, the others will not. The coordinator warns of it.

        Who decides by `fits` gives a group the largest tier that each of its devices carries: the envelope comes with
        their profiles. By `HardwareEnvelope.least` alone it can be a smaller one.
        """
        ...

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the weights that a group starts from: a pure function of its arguments."""
        ...
