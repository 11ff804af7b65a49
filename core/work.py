"""A device's work in one round: evaluate the model that came, train it, and code the update.

Pure computing: whoever runs the agent's machine calls `perform` wherever it may take long.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.errors import DeviceError
from tierwise.core.events import Purpose
from tierwise.core.framing import blank, unframe
from tierwise.core.ids import BlobHash, CohortId
from tierwise.core.learning import FitBudget, Learner, LocalData, StopToken
from tierwise.core.metrics import Metrics
from tierwise.core.seeds import derive_seed
from tierwise.core.standardising import MEAN, describe
from tierwise.core.tiers import Tier
from tierwise.core.weights import Buffer, Role, Weights, all_finite_quietly

_BLOCK: Final = 1 << 16
"""Values that are decoded at a time, to see what was lost."""


class Job(msgspec.Struct, frozen=True):
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


class Trained(msgspec.Struct, frozen=True):
    """The update that a fit gave.

    Attributes
    ----------
    body, blob
        The frame of the coded delta, and its name: as a rule its hash.
    samples
        The update's weight.
    local
        The *local* tensors as trained; None if the tier has none.
    lost
        What the coding has lost when the update is received, shape ``(n,)``; None if nothing is kept of it.
    """

    body: bytes | memoryview
    blob: BlobHash
    samples: int
    local: Weights | None
    lost: Buffer | None = None


class JobDone(msgspec.Struct, frozen=True):
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


UpdateNamer = Callable[[Job, bytes | memoryview], BlobHash]
"""Names the frame of an update that a job gave."""
MODELS: Final = 8
"""Models that are kept by who reads many."""


class ModelReader:
    """Reads the models that jobs start from; one that several jobs have in common, the same memory, is read once."""

    def __init__(self) -> None:
        self._read: dict[BlobHash, tuple[memoryview, Weights]] = {}

    def __call__(self, job: Job) -> Weights:
        """Return the model of a job, read-only.

        Raises
        ------
        DeviceError
            If it does not have its hash.
        ProtocolError, LayoutError
            If it is no frame, or not of the tier's layout.
        """
        frame, model = self._read.get(job.base, (None, None))
        if frame is not job.model or model is None:
            model = read_model(job)
            self._read[job.base] = job.model, model
            if len(self._read) > MODELS:
                del self._read[next(iter(self._read))]
        return model


def read_model(job: Job) -> Weights:
    """Return the model of a job; see `ModelReader`."""
    if hashlib.sha256(job.model).hexdigest() != job.base:
        raise DeviceError(f"the model that came for cohort {job.cohort} does not have the hash {job.base[:12]!r}")
    model = unframe(job.model)
    job.tier.layout.require(model.layout, "the model that came")
    return model


def content_name(_job: Job, body: bytes | memoryview) -> BlobHash:
    """Name an update for its bytes: their hexadecimal sha256."""
    return BlobHash(hashlib.sha256(body).hexdigest())


def origin_name(job: Job, _body: bytes | memoryview) -> BlobHash:
    """Name an update for what it was made from, which costs the same however large it is.

    A job is a pure function, and its seed is its device's alone in this round: no other update has this name. It tells
    nothing of the bytes, so it is for updates that nobody can damage: those that never leave memory.
    """
    return BlobHash(hashlib.sha256(f"update\x1f{job.cohort}\x1f{job.base}\x1f{job.seed}".encode()).hexdigest())


def perform(
    job: Job,
    learner: Learner,
    coding: CodedUpdates,
    data: LocalData,
    stop: StopToken,
    *,
    read: Callable[[Job], Weights] = read_model,
    name: UpdateNamer = content_name,
) -> JobDone:
    """Do a job: a pure function of its arguments.

    Parameters
    ----------
    job
        What to do.
    learner, coding
        What its tier computes with, and how its updates are coded.
    data
        The device's.
    stop
        Told to stop, it ends the training.
    read
        Gives the model of the job.
    name
        Names the frame of the update.

    Raises
    ------
    DeviceError
        If the model is damaged or the training gave values that are not finite.
    LayoutError
        If the model, or what was trained, is not of the tier's layout.
    FitStopped
        If ``stop`` was told to.
    """
    base = read(job)
    if job.purpose is Purpose.DESCRIBE:
        return JobDone(describe(data.train))
    start = base if job.local is None else base.replaced(job.local)
    metrics = learner.evaluate(start, data.holdout)
    if job.purpose is Purpose.EVALUATE:
        return JobDone(metrics)
    fit = learner.fit(start, data.train, seed=job.seed, budget=job.budget, stop=stop)
    job.tier.layout.require(fit.weights.layout, "the trained model")
    after = fit.weights.part(Role.AGGREGATE)
    uncoded, delta = blank(after.layout)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is seen in the next line
        np.subtract(after.buffer, base.part(Role.AGGREGATE).buffer, out=delta)
        if job.lost is not None:
            delta += job.lost
        # A difference is finite only if both are; so only what is in no difference is looked at by itself.
        if not all_finite_quietly(delta) or not (after is fit.weights or all_finite_quietly(fit.weights.buffer)):
            raise DeviceError(f"training gave values that are not finite: {_remedies(job.tier, data)}")
    body, lost = _coded(delta, uncoded, coding, derive_seed(job.seed, "codec"))
    local = fit.weights.part(Role.LOCAL) if job.tier.layout.part(Role.LOCAL).tensors else None
    return JobDone(metrics, Trained(body, name(job, body), fit.samples, local, lost))


def _coded(
    delta: Buffer, uncoded: memoryview, coding: CodedUpdates, seed: int
) -> tuple[bytes | memoryview, Buffer | None]:
    """Return a delta's frame, and what the coding lost of it: the delta's own buffer, where that is wanted.

    ``uncoded`` is the frame that the delta stands in: the one to be sent if the codec leaves it as it is.
    """
    values = delta.view()
    values.flags.writeable = False
    arrays = coding.codec.encode(values, seed)
    if next(iter(arrays.values())) is values:
        return uncoded, None
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
