"""A probe, a grouping policy and a model of one's own, in one file that is in no package.

federation.toml, beside it, names this file; an agent takes it as ``--plugins mine.py``.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray

from tierwise.core.framing import frame
from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.hardware import Unmeasured
from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.measuring import check_metrics, measure_classes
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, RoundLimits, Tier
from tierwise.core.weights import Layout, Weights
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

Positive = Annotated[int, msgspec.Meta(ge=1)]

# -- what this file brings


@hookimpl
def tierwise_probes() -> Iterable[PluginDescriptor]:
    yield PluginDescriptor(
        kind=Kind.PROBE, name="uptime", target=f"{__name__}:UptimeProbe", summary="How long the device has been on."
    )


@hookimpl
def tierwise_grouping_policies() -> Iterable[PluginDescriptor]:
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="widest-gap",
        target=f"{__name__}:WidestGapPolicy",
        options=f"{__name__}:WidestGapOptions",
        summary="Cuts the fleet where neighbours differ most; leaves out who was switched on just now.",
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


# -- the probe


class UptimeProbe:
    """Quantity: ``uptime_s``, the seconds since the device was switched on."""

    async def measure(self) -> Mapping[str, float | Unmeasured]:
        return {"uptime_s": max(time.time() - psutil.boot_time(), 0.0)}


# -- the grouping policy


class WidestGapOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `WidestGapPolicy`.

    Attributes
    ----------
    groups
        How many groups there are at the most.
    uptime_s
        Seconds that a device must have been on to be placed; those that do not tell are placed.
    """

    groups: Positive = 3
    uptime_s: Annotated[float, msgspec.Meta(ge=0)] = 300.0


class WidestGapPolicy:
    """Sorts the devices by arithmetic, and cuts where two neighbours differ by the largest factor."""

    def __init__(self, options: WidestGapOptions) -> None:
        self._options = options

    def group(self, fleet: pl.DataFrame, offers: Sequence[Tier], limits: RoundLimits) -> Grouping:
        uptime = pl.col("uptime_s") if "uptime_s" in fleet.columns else pl.lit(None, pl.Float64)
        steady = (uptime >= self._options.uptime_s).fill_null(True)
        log_flops = pl.col("cpu_flops").clip(lower_bound=1.0).log()
        placed = fleet.filter(steady).select("device", log_flops).sort("cpu_flops", "device")
        reasons = {
            DeviceId(device): f"was switched on {seconds:.0f} s ago, {self._options.uptime_s:g} s are needed"
            for device, seconds in fleet.filter(~steady).select("device", uptime).iter_rows()
        }
        devices = [DeviceId(device) for device in placed["device"]]
        if len(devices) < MINIMUM:
            reason = f"only {len(devices)} devices are steady, a group needs {MINIMUM}"
            return Grouping(groups=(), unplaced=reasons | dict.fromkeys(devices, reason))
        ends = [0, *self._cuts(np.diff(placed["cpu_flops"].to_numpy())), len(devices)]
        return Grouping(groups=tuple(tuple(sorted(devices[a:b])) for a, b in pairwise(ends)), unplaced=reasons)

    def _cuts(self, gaps: NDArray[np.float64]) -> list[int]:
        """Return before which rows to cut: at the widest gaps that leave enough devices on both sides."""
        cuts: list[int] = []
        for row in np.argsort(-gaps, kind="stable") + 1:
            ends = sorted([0, *cuts, int(row), len(gaps) + 1])
            if len(cuts) < self._options.groups - 1 and min(b - a for a, b in pairwise(ends)) >= MINIMUM:
                cuts.append(int(row))
        return sorted(cuts)


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
