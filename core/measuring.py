"""Measuring a model's answers: the metrics that every learner can report, as (sum, count) pairs.

A learner computes the answers, and these functions what they are worth; so all learners measure the same.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.metrics import AUC, AUC_BINS, Metric, Metrics, sums_of
from tierwise.core.task import Loss, Task

Floats = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int64] | NDArray[np.float32]

_EDGES: Final = np.linspace(-12.0, 12.0, AUC_BINS - 1)
"""Between the bins of a score, which is the logarithm of odds: probabilities near 0 and 1 are told apart, too."""


def check_metrics(task: Task, learner: str) -> None:
    """Refuse a task with metrics that these functions do not know.

    Parameters
    ----------
    task
        With its metrics.
    learner
        The learner's name, for the error's text.

    Raises
    ------
    ConfigurationError
        If there is one.
    """
    known = REGRESSION if task.loss is Loss.SQUARED_ERROR else CLASSIFICATION
    for name in task.metrics:
        if name not in known:
            raise ConfigurationError(
                f"learner {learner!r} cannot measure {name!r}{nearest(name, known)}, which task {task.name!r} asks "
                f"for; of {'numbers' if task.loss is Loss.SQUARED_ERROR else 'classes'} it measures {', '.join(known)}",
                key="task.metrics",
            )


def measure_classes(metrics: Sequence[str], logits: Floats, labels: Labels) -> Metrics:
    """Measure a classification.

    ``accuracy``: how often the greatest output is that of the label (of a soft label's greatest, the first of equals in
    both). ``log_loss``: cross-entropy in nats. ``auc``: histograms of the score of each decision, among decisions that
    should be positive and those that should not; with two classes a sample is one decision (is it the second?), with
    more it is one for each class ("one against the rest", all pooled).

    Parameters
    ----------
    metrics
        Names, each one of `CLASSIFICATION`.
    logits
        Shape ``(n_samples, n_classes)``: logarithms of probabilities, up to a constant for each sample.
    labels
        Hard ``(n_samples,)`` int64, or soft ``(n_samples, n_classes)`` float32.
    """
    found: Metrics = {}
    for name in metrics:
        found |= CLASSIFICATION[name](logits, labels)
    return found


def measure_numbers(metrics: Sequence[str], predicted: Floats, targets: Floats) -> Metrics:
    """Measure a regression.

    ``mae``: absolute errors. ``rmse``: squared errors, of whose mean the root is taken when it is read.

    Parameters
    ----------
    metrics
        Names, each one of `REGRESSION`.
    predicted, targets
        Shape ``(n_samples,)``, in the target's own unit.
    """
    errors = np.asarray(predicted, np.float64) - targets
    return {name: Metric(sum=float(REGRESSION[name](errors).sum()), count=len(errors)) for name in metrics}


def _accuracy(logits: Floats, labels: Labels) -> Metrics:
    hits = logits.argmax(1) == (labels.argmax(1) if labels.ndim == 2 else labels)
    return {"accuracy": Metric(sum=float(np.count_nonzero(hits)), count=len(hits))}


def _log_loss(logits: Floats, labels: Labels) -> Metrics:
    # log p = z - log(sum(exp(z))), which stays finite where p itself would be rounded to 0
    shifted = logits - logits.max(1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(1, dtype=np.float64))
    if labels.ndim == 2:
        likely = np.einsum("ij,ij->i", shifted, labels, dtype=np.float64)
        log_sums *= labels.sum(1, dtype=np.float64)
    else:
        likely = shifted[np.arange(len(labels)), labels].astype(np.float64)
    return {"log_loss": Metric(sum=float((log_sums - likely).sum()), count=len(logits))}


def _auc(logits: Floats, labels: Labels) -> Metrics:
    classes = logits.shape[1]
    hard = labels.argmax(1) if labels.ndim == 2 else labels
    odds = _log_odds(np.asarray(logits, np.float64))
    truth = hard[:, None] == np.arange(classes)
    if classes == 2:
        odds, truth = odds[:, 1:], truth[:, 1:]
    bins = np.searchsorted(_EDGES, odds)
    counts = [np.bincount(bins[truth], minlength=AUC_BINS), np.bincount(bins[~truth], minlength=AUC_BINS)]
    sums = (float(number) for side in counts for number in side)
    return {name: Metric(sum=number, count=len(logits)) for name, number in zip(sums_of(AUC), sums, strict=True)}


def _log_odds(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``log(p / (1 - p))`` of each class's probability, shape ``(n, classes)``."""
    odds = np.empty_like(logits)
    for one in range(logits.shape[1]):
        others = np.delete(logits, one, axis=1)
        greatest = others.max(1, keepdims=True)
        odds[:, one] = logits[:, one] - greatest[:, 0] - np.log(np.exp(others - greatest).sum(1))
    return odds


CLASSIFICATION: Final[dict[str, Callable[[Floats, Labels], Metrics]]] = {
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    AUC: _auc,
}
"""How each metric of a classification is measured."""
REGRESSION: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {"mae": np.abs, "rmse": np.square}
"""What is summed for each metric of a regression, from the errors."""
