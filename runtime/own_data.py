"""Data that the coordinator itself holds, and no device: nobody's own data are among it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset
from tierwise.core.task import Task


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
            If there are no samples in what there is, or they do not have the task's features.
        """
        if self.public is not None:
            _check(self.public, task, "the public set", "exchange.public")
        if self.test is not None:
            _check(self.test.features, task, "the test set", "evaluation")
        public = None if self.public is None else (self.public / np.float32(task.scale)).astype(np.float32, copy=False)
        return OwnData(public, None if self.test is None else self.test.divided(task.scale))


def _check(features: NDArray[np.float32], task: Task, what: str, key: str) -> None:
    if features.ndim != 2 or features.shape[1] != task.features or not len(features):
        raise ConfigurationError(
            f"{what} has features of shape {features.shape}, task {task.name!r} expects (n_samples, {task.features}), "
            "a sample at least",
            key=key,
        )
