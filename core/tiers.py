"""Tiers: models sized for a hardware envelope, what they cost, and the contract of those who provide them."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
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
        Of the model on the wire, one way.
    memory_bytes
        Needed at the most while a device trains.
    """

    parameters: int
    fit_flops_per_sample: float
    evaluate_flops_per_sample: float
    bytes: int
    memory_bytes: int

    def compute_s(self, profile: HardwareProfile, *, fit_samples: int, evaluate_samples: int) -> float:
        """Predict how long a device computes in a round, in seconds."""
        flops = self.fit_flops_per_sample * fit_samples + self.evaluate_flops_per_sample * evaluate_samples
        return flops / profile.value("cpu_flops")


class RoundLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a round may cost a device.

    Attributes
    ----------
    deadline_s
        From the model's publication to the update's arrival, in seconds.
    samples
        Processed in a fit at the most; as many again are assumed for the evaluation.
    """

    deadline_s: float
    samples: int


def fits(cost: Cost, envelope: HardwareEnvelope, limits: RoundLimits) -> bool:
    """Tell whether even a group's weakest device carries a model: its memory holds it, and a round is in time."""
    return cost.memory_bytes <= envelope.least("memory_bytes") and round_s(cost, envelope, limits) <= limits.deadline_s


def round_s(cost: Cost, envelope: HardwareEnvelope, limits: RoundLimits) -> float:
    """Predict the seconds of a round on a device that has the least of everything in the envelope."""
    flops = (cost.fit_flops_per_sample + cost.evaluate_flops_per_sample) * limits.samples
    return (
        cost.bytes / envelope.least("downlink_bytes_per_s")
        + flops / envelope.least("cpu_flops")
        + cost.bytes / envelope.least("uplink_bytes_per_s")
    )


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
    """

    name: TierName
    learner: str
    options: OptionValues
    layout: Layout
    cost: Cost


class TierProvider(Protocol):
    """Sizes models: a plugin, made as ``Class(options)`` or ``Class()``."""

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return the tiers on offer (at least one), from the smallest to the largest `Cost`."""
        ...

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the tier for a group: one of the `offers`, that fits the envelope where any does.

        A stronger envelope never gets a smaller tier. When not even the smallest fits, it is returned all the
        same: the group's weakest devices will then miss rounds, the others will not.
        """
        ...

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the weights that a group starts from: a pure function of its arguments."""
        ...
