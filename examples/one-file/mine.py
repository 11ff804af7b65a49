"""A probe, a grouping policy and a model of one's own, in one file that is in no package.

federation.toml, beside it, names this file; an agent takes it as ``--plugins mine.py``.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tierwise.core.framing import frame
from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import DeviceId, TierName
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.measuring import check_metrics, measure_classes
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, RoundLimits, Tier, fits
from tierwise.core.weights import Layout, Weights
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

Positive = Annotated[int, msgspec.Meta(ge=1)]

# -- what this file brings


@hookimpl
def tierwise_probes() -> Iterable[PluginDescriptor]:
    yield PluginDescriptor(
        kind=Kind.PROBE, name="idle", target=f"{__name__}:IdleProbe", summary="How many cores have nothing to do."
    )


@hookimpl
def tierwise_grouping_policies() -> Iterable[PluginDescriptor]:
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="widest-gap",
        target=f"{__name__}:WidestGapPolicy",
        options=f"{__name__}:WidestGapOptions",
        summary="Cuts the fleet where neighbours differ most in arithmetic to spare.",
    )


@hookimpl
def tierwise_learners() -> Iterable[PluginDescriptor]:
    yield PluginDescriptor(
        kind=Kind.LEARNER,
        name="fourier",
        target=f"{__name__}:FourierLearner",
        options=f"{__name__}:FourierOptions",
        summary="A linear model over random Fourier features.",
    )


@hookimpl
def tierwise_tier_providers() -> Iterable[PluginDescriptor]:
    yield PluginDescriptor(
        kind=Kind.TIER_PROVIDER,
        name="fourier",
        target=f"{__name__}:FourierTiers",
        options=f"{__name__}:FourierTiersOptions",
        summary="Models for the learner fourier, from narrow to wide.",
    )


# -- the probe


class IdleProbe:
    """Quantity: ``idle_cpu_count``, the cores less the average load of the last minute."""

    async def measure(self) -> dict[str, float]:
        try:
            load, _, _ = os.getloadavg()
        except (AttributeError, OSError):
            return {}  # what cannot be measured here is left out
        return {"idle_cpu_count": max((os.cpu_count() or 1) - load, 0.0)}


# -- the grouping policy


class WidestGapOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `WidestGapPolicy`.

    Attributes
    ----------
    groups
        How many groups there are at the most.
    """

    groups: Positive = 3


class WidestGapPolicy:
    """Sorts the devices by what they have to spare, and cuts where two neighbours differ by the largest factor."""

    def __init__(self, options: WidestGapOptions) -> None:
        self._groups = options.groups

    def group(self, fleet: pl.DataFrame, offers: Sequence[Tier], limits: RoundLimits) -> Grouping:
        # A device that nobody asked is taken to be idle.
        idle = pl.col("idle_cpu_count") if "idle_cpu_count" in fleet.columns else pl.lit(None, pl.Float64)
        share = (idle / pl.col("cpu_count")).fill_null(1.0).fill_nan(1.0).clip(0.01, 1.0)
        spare = (pl.col("cpu_flops") * share).clip(lower_bound=1.0)
        ordered = fleet.select("device", spare.log().alias("spare")).sort("spare", "device")
        gaps = np.diff(ordered["spare"].to_numpy())
        cuts: list[int] = []
        for row in np.argsort(-gaps, kind="stable") + 1:
            ends = sorted([0, *cuts, int(row), len(ordered)])
            if len(cuts) < self._groups - 1 and np.diff(ends).min() >= MINIMUM:
                cuts.append(int(row))
        parts = np.split(ordered["device"].to_numpy(), sorted(cuts))
        return Grouping(groups=tuple(tuple(DeviceId(device) for device in sorted(part)) for part in parts))


# -- the model


class FourierOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `FourierLearner`.

    Attributes
    ----------
    width
        Random features.
    frequency
        Standard deviation of their directions, in 1 over the unit of the scaled features.
    learning_rate
        Step size of the gradient descent.
    batch_size
        Samples in a minibatch.
    """

    width: Positive = 64
    frequency: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    batch_size: Positive = 10


class FourierLearner:
    """Softmax regression over cosines of random projections, which are the same on every device and never sent.

    Rahimi and Recht 2007, "Random Features for Large-Scale Kernel Machines",
    https://papers.nips.cc/paper/3182-random-features-for-large-scale-kernel-machines, algorithm 1.
    """

    def __init__(self, options: FourierOptions, task: Task) -> None:
        check_metrics(task, "fourier")
        self._options, self._task = options, task
        random = np.random.default_rng(0)
        self._directions = random.normal(0, options.frequency, (task.features, options.width)).astype(np.float32)
        self._phases = random.uniform(0, 2 * np.pi, options.width).astype(np.float32)

    @property
    def layout(self) -> Layout:
        return Layout.of({"bias": (self._task.outputs,), "weight": (self._options.width, self._task.outputs)})

    @property
    def cost(self) -> Cost:
        layout, width = self.layout, self._options.width
        answer = 2.0 * width * (self._task.features + self._task.outputs)
        return Cost(
            parameters=layout.size,
            fit_flops_per_sample=answer + 4.0 * width * self._task.outputs,
            evaluate_flops_per_sample=answer,
            bytes=sum(len(part) for part in frame(Weights.zeros(layout))),
            memory_bytes=4 * (3 * layout.size + width * (self._task.features + 2 * self._options.batch_size)),
        )

    def initial(self, seed: int) -> Weights:
        return Weights.zeros(self.layout)  # a convex loss has one minimum, wherever it starts

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        trained, random, left = weights.copy(), np.random.default_rng(seed), budget.samples(len(data))
        targets = np.eye(self._task.outputs, dtype=np.float32)[data.labels] if data.labels.ndim == 1 else data.labels
        while left > 0:
            rows = random.permutation(len(data))[:left]
            for first in range(0, len(rows), self._options.batch_size):
                stop.check()
                self._step(trained, data.features, targets, rows[first : first + self._options.batch_size])
            left -= len(rows)
        return Fit(trained, len(data))

    def _step(
        self, model: Weights, features: NDArray[np.float32], targets: NDArray[np.float32], rows: NDArray[np.intp]
    ) -> None:
        waves = self._waves(features[rows])
        logits = waves @ model["weight"] + model["bias"]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True) - targets[rows]
        rate = np.float32(self._options.learning_rate / len(rows))
        model["weight"][...] -= rate * (waves.T @ error)
        model["bias"][...] -= rate * error.sum(axis=0)

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        logits = self._waves(data.features) @ weights["weight"] + weights["bias"]
        return measure_classes(self._task.metrics, logits, data.labels)

    def _waves(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.cos(features @ self._directions + self._phases) * np.float32(np.sqrt(2 / self._options.width))


class FourierTiersOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `FourierTiers`.

    Attributes
    ----------
    widths
        Random features of each tier.
    """

    widths: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (16, 128, 512)


class FourierTiers:
    """Gives each group the widest model whose round its weakest device finishes in time."""

    def __init__(self, options: FourierTiersOptions) -> None:
        self._widths = sorted(set(options.widths))

    def offers(self, task: Task) -> Sequence[Tier]:
        return [self._tier(FourierOptions(width=width), task) for width in self._widths]

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        offers = self.offers(task)
        return next((tier for tier in reversed(offers) if fits(tier.cost, envelope, limits)), offers[0])

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        return FourierLearner(msgspec.convert(tier.options, FourierOptions), task).initial(seed)

    def _tier(self, options: FourierOptions, task: Task) -> Tier:
        learner = FourierLearner(options, task)
        return Tier(
            name=TierName(f"fourier-{options.width}"),
            learner="fourier",
            options=msgspec.to_builtins(options),
            layout=learner.layout,
            cost=learner.cost,
        )
