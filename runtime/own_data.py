"""Data that the coordinator itself holds, and no device: nobody's own data are among it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset
from tierwise.core.task import Task

PUBLIC: Final = "exchange.public"
EVALUATION: Final = "evaluation"
"""The tables of a configuration that name these data."""


@dataclass(frozen=True, slots=True)
class OwnData:
    """What a coordinator holds.

    Attributes
    ----------
    public
        Unlabelled samples by which groups learn from each other, features as they are: shape
        ``(n_samples, n_features)``, float32. None for none.
    test
        Labelled samples on which it measures each group's model after each round, features as they are. None for none.
    """

    public: NDArray[np.float32] | None = None
    test: Dataset | None = None

    def prepared(self, task: Task) -> "OwnData":
        """Return the data with features divided by the task's scale, as models want them.

        Raises
        ------
        ConfigurationError
            If there are no samples in what there is, or they are not of the task.
        """
        if self.public is not None:
            _check_features(self.public, task, "the public set", PUBLIC)
        if self.test is not None:
            _check_test(self.test, task)
        public = None if self.public is None else (self.public / np.float32(task.scale)).astype(np.float32, copy=False)
        return OwnData(public, None if self.test is None else self.test.divided(task.scale))


def _check_test(test: Dataset, task: Task) -> None:
    if not isinstance(test, Dataset):
        raise ConfigurationError(f"the test set is of type {type(test).__name__}, a Dataset is needed", key=EVALUATION)
    _check_features(test.features, task, "the test set", EVALUATION)
    labels, count = test.labels, len(test)
    shape, wanted = (count,), np.int64 if task.classes else np.float32
    if labels.shape != shape or labels.dtype != wanted:
        raise ConfigurationError(
            f"the test set has labels of shape {labels.shape} and dtype {labels.dtype}, task {task.name!r} expects "
            f"{shape} and {np.dtype(wanted).name}",
            key=EVALUATION,
        )
    wrong = labels[(labels < 0) | (labels >= len(task.classes))] if task.classes else labels[~np.isfinite(labels)]
    if wrong.size:
        allowed = f"0 to {len(task.classes) - 1}" if task.classes else "finite numbers"
        raise ConfigurationError(f"the test set has the label {wrong[0]}, allowed are {allowed}", key=EVALUATION)


def _check_features(features: NDArray[np.float32], task: Task, what: str, key: str) -> None:
    if not isinstance(features, np.ndarray):
        raise ConfigurationError(
            f"{what} is of type {type(features).__name__}, an array of features is needed", key=key
        )
    if features.ndim != 2 or features.shape[1] != task.features or not len(features):
        raise ConfigurationError(
            f"{what} has features of shape {features.shape}, task {task.name!r} expects (n_samples, {task.features}), "
            "a sample at least",
            key=key,
        )
    if not np.isfinite(features).all():
        raise ConfigurationError(f"{what} has features that are not finite", key=key)
