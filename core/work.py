"""A device's work in one round: evaluate the model that came, train it, and code the update.

Pure computing: whoever runs the agent's machine calls `perform` wherever it may take long.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import Codec
from tierwise.core.errors import DeviceError
from tierwise.core.events import Purpose
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, CohortId
from tierwise.core.learning import FitBudget, Learner, LocalData, StopToken
from tierwise.core.metrics import Metrics
from tierwise.core.seeds import derive_seed
from tierwise.core.standardising import MEAN, describe
from tierwise.core.tiers import Tier
from tierwise.core.weights import Buffer, Role, Weights

_BLOCK: Final = 1 << 16
"""Values that are decoded at a time, to see what was lost."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a round asks of this device.

    Attributes
    ----------
    cohort, purpose, tier, budget
        As announced.
    base
        The hash that the model must have.
    model
        Its frame.
    seed
        Of this device in this round.
    local
        The tensors of role *local* that this device trained before; None in its first round with the tier.
    lost
        What the coding of its earlier updates lost (`tierwise.core.feedback`), shape ``(n,)``; None for nothing.
    """

    cohort: CohortId
    purpose: Purpose
    tier: Tier
    base: BlobHash
    model: memoryview
    budget: FitBudget
    seed: int
    local: Weights | None = None
    lost: Buffer | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """The update that a fit gave.

    Attributes
    ----------
    body, blob
        The frame of the coded delta, and its hash.
    samples
        The update's weight.
    local
        The *local* tensors as trained; None if the tier has none.
    lost
        What the coding has lost when the update is received, shape ``(n,)``; None if nothing is kept of it.
    """

    body: bytes
    blob: BlobHash
    samples: int
    local: Weights | None
    lost: Buffer | None = None


@dataclass(frozen=True, slots=True)
class JobDone:
    """What a job gave.

    Attributes
    ----------
    metrics
        Of the model that came, on the hold-out; or the sums of the training samples' features.
    trained
        None where no training was asked for.
    """

    metrics: Metrics
    trained: Trained | None = None


def perform(job: Job, learner: Learner, codec: Codec, data: LocalData, stop: StopToken) -> JobDone:
    """Do a job: a pure function of its arguments.

    Parameters
    ----------
    job
        What to do.
    learner, codec
        Those that its tier names.
    data
        The device's.
    stop
        Told to stop, it ends the training.

    Raises
    ------
    DeviceError
        If the model is damaged or the training gave values that are not finite.
    LayoutError
        If the model, or what was trained, is not of the tier's layout.
    FitStopped
        If ``stop`` was told to.
    """
    if hashlib.sha256(job.model).hexdigest() != job.base:
        raise DeviceError(f"the model that came for cohort {job.cohort} does not have the hash {job.base[:12]!r}")
    base = unframe(job.model)
    job.tier.layout.require(base.layout, "the model that came")
    if job.purpose is Purpose.DESCRIBE:
        return JobDone(describe(data.train))
    start = base if job.local is None else base.replaced(job.local)
    metrics = learner.evaluate(start, data.holdout)
    if job.purpose is Purpose.EVALUATE:
        return JobDone(metrics)
    fit = learner.fit(start, data.train, seed=job.seed, budget=job.budget, stop=stop)
    job.tier.layout.require(fit.weights.layout, "the trained model")
    after = fit.weights.part(Role.AGGREGATE)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is seen in the next line
        delta = after.buffer - base.part(Role.AGGREGATE).buffer
        if job.lost is not None:
            delta += job.lost
    if not (np.isfinite(delta).all() and np.isfinite(fit.weights.buffer).all()):
        raise DeviceError(f"training gave values that are not finite: {_remedies(job.tier, data)}")
    coding = CodedUpdates(codec, job.tier.codec.name, after.layout)
    body, lost = _coded(delta, coding, derive_seed(job.seed, "codec"))
    blob = BlobHash(hashlib.sha256(body).hexdigest())
    local = fit.weights.part(Role.LOCAL)
    return JobDone(metrics, Trained(body, blob, fit.samples, local if local.layout.tensors else None, lost))


def _coded(delta: Buffer, coding: CodedUpdates, seed: int) -> tuple[bytes, Buffer | None]:
    """Return a delta's frame, and what the coding lost of it: the delta's own buffer, where that is wanted."""
    values = delta.view()
    values.flags.writeable = False
    arrays = coding.codec.encode(values, seed)
    body = coding.frame(arrays)
    if not coding.codec.feedback:
        return body, None
    for block, kept in coding.blocks(coding.read(body, "the update"), _BLOCK):  # as the coordinator will
        delta[block] -= kept
    return body, delta


def _remedies(tier: Tier, data: LocalData) -> str:
    """Say what keeps training from diverging: inputs and outputs of about 1, and then small steps.

    It goes to the coordinator, so it tells nothing of the data but their kind.
    """
    found = []
    if MEAN not in tier.layout.slices:
        found.append("standardise = true in [task], where features are large or of unlike sizes")
    if data.train.labels.ndim == 1 and data.train.labels.dtype == np.float32:
        found.append("target_centre and target_scale among the tier's options, at about the target's mean and spread")
    found.append("a smaller learning_rate")
    return "what helps is " + "; or ".join(found)
