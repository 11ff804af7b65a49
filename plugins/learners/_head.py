"""What stands between a model's outputs and its task: labels as targets, outputs as predictions and metrics."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset
from tierwise.core.measuring import check_metrics, measure_classes, measure_numbers
from tierwise.core.metrics import Metrics, add_metrics
from tierwise.core.task import Loss, Task
from tierwise.core.weights import Buffer

Labels = NDArray[np.int64] | NDArray[np.float32]


def of_each_class(outputs: Buffer) -> Buffer:
    """Read outputs that are logits, shape ``(n, classes)``."""
    return outputs


def of_the_second_class(outputs: Buffer) -> Buffer:
    """Read the log odds of the second of two classes, shape ``(n, 1)``, as logits."""
    return np.hstack([np.zeros_like(outputs), outputs])


def one_against_the_rest(outputs: Buffer) -> Buffer:
    """Read the log odds of each class against all others as logits: probabilities are then brought to a sum of 1.

    Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates",
    https://doi.org/10.1145/775047.775151.
    """
    return np.asarray(-np.logaddexp(np.float32(0), -outputs), np.float32)


class Head:
    """Knows what the outputs of a learner's model mean.

    Parameters
    ----------
    learner
        The learner's name, for errors.
    task
        What is learned.
    centre, scale
        Of a regression: a model's output ``y`` stands for ``centre + scale * y`` in the target's own unit.
    logits
        How logits are read from the outputs of a classification, one of the functions above.

    Raises
    ------
    ConfigurationError
        If the task wants a metric that cannot be measured, or a classification has a centre or scale.
    """

    def __init__(
        self,
        learner: str,
        task: Task,
        *,
        centre: float = 0.0,
        scale: float = 1.0,
        logits: Callable[[Buffer], Buffer] = of_each_class,
    ) -> None:
        check_metrics(task, learner)
        self._task = task
        self._numbers = task.loss is Loss.SQUARED_ERROR
        self._centre, self._scale = np.float32(centre), np.float32(scale)
        self._logits = logits
        if not self._numbers and (centre, scale) != (0, 1):
            raise ConfigurationError(
                f"learner {learner!r} has target_centre {centre:g} and target_scale {scale:g}, but task {task.name!r} "
                "is a classification: leave them out"
            )

    @property
    def numbers(self) -> bool:
        """Whether the task is a regression."""
        return self._numbers

    def require(self, data: Dataset) -> None:
        """Raise a `ValueError` that names the difference if the data are not those of the task."""
        task, samples, features = self._task.name, len(data), self._task.features
        if data.features.shape != (samples, features):
            raise ValueError(
                f"features have shape {data.features.shape}, task {task!r} expects (n_samples, {features})"
            )
        kind, form = data.labels.dtype, data.labels.shape
        hard = kind == np.int64 and form == (samples,)
        if self._numbers:
            expected, fitting = f"({samples},) float32", kind == np.float32 and form == (samples,)
        else:
            expected = f"({samples},) int64 or ({samples}, {self._task.outputs}) float32"
            fitting = hard or (kind == np.float32 and form == (samples, self._task.outputs))
        if not fitting:
            raise ValueError(f"labels have shape {form} and dtype {kind}, task {task!r} expects {expected}")
        # One pass for both bounds: a negative number is huge when its sign is read as a part of it.
        if hard and samples and data.labels.view(np.uint64).max() >= self._task.outputs:
            wrong = data.labels[(data.labels < 0) | (data.labels >= self._task.outputs)][0]
            raise ValueError(f"a label is {wrong}, task {task!r} has classes 0 to {self._task.outputs - 1}")

    def scaled(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what a regression's model is to put out for targets in their own unit."""
        return (numbers - self._centre) / self._scale

    def spread(self, labels: Labels, targets: Buffer) -> None:
        """Write what a model with an output for each class, or one for a number, is to put out: ``(n, outputs)``.

        Soft labels as they are, hard ones as a 1 among zeros, numbers scaled.
        """
        if self._numbers:
            targets[:, 0] = self.scaled(np.asarray(labels, np.float32))
        elif labels.ndim == 2:
            targets[...] = labels
        else:
            targets[...] = 0
            targets[np.arange(len(labels)), labels] = 1

    def measure(self, outputs: Iterable[Buffer], labels: Labels) -> Metrics:
        """Measure the task's metrics, as `tierwise.core.measuring` does, on outputs in blocks, at least one."""
        return add_metrics(self._measured(outputs, labels))

    def _measured(self, outputs: Iterable[Buffer], labels: Labels) -> Iterator[Metrics]:
        start = 0
        for block in outputs:
            part = labels[start : start + len(block)]
            start += len(block)
            with np.errstate(over="ignore", invalid="ignore"):
                if self._numbers:
                    yield measure_numbers(self._task.metrics, self._restored(block), np.asarray(part, np.float32))
                else:
                    yield measure_classes(self._task.metrics, self._shifted(block), part)

    def predict(self, outputs: Iterable[Buffer]) -> NDArray[np.float32]:
        """Return a distribution over the classes for each sample, or numbers in the target's own unit."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self._numbers:
                return np.concatenate([self._restored(block) for block in outputs])
            answers = [np.exp(self._shifted(block)) for block in outputs]
            return np.concatenate([answer / answer.sum(1, keepdims=True) for answer in answers])

    def _restored(self, outputs: Buffer) -> NDArray[np.float32]:
        return np.asarray(outputs[:, 0] * self._scale + self._centre, np.float32)

    def _shifted(self, outputs: Buffer) -> Buffer:
        """Return logits with the greatest taken off, so that their exponentials cannot overflow."""
        logits = self._logits(outputs)
        shifted: Buffer = logits - logits.max(1, keepdims=True)
        return shifted
