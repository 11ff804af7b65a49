"""Trains an estimator of scikit-learn minibatch by minibatch, so that nobody but the caller decides what it sees.

``partial_fit`` is given one minibatch after the other: then the budget is kept to the sample, the fit stops between
two of them, and the order is that of our seed. Who makes a new estimator for each fit leaves its counters, moments and
generators behind.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierwise.core.learning import Dataset, FitBudget, StopToken
from tierwise.plugins.learners._head import Head


def minibatches(samples: int, batch_size: int, seed: int, budget: FitBudget) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of minibatches, shuffled anew in each epoch, whose last one may be smaller."""
    random, left = np.random.default_rng(seed), budget.samples(samples)
    while left > 0:
        order = random.permutation(samples)[: min(left, samples)]
        for first in range(0, len(order), batch_size):
            yield order[first : first + batch_size]
        left -= len(order)


def train(
    estimator: Any, head: Head, data: Dataset, batch_size: int, *, seed: int, budget: FitBudget, stop: StopToken
) -> None:
    """Train an estimator that has had its first call, if it needs one to know the classes.

    A soft label is learned through sample weights: its sample is given once for each class that it has a part of, that
    part being the weight.

    Raises
    ------
    FitStopped
        Before the next minibatch after ``stop`` was told to.
    ValueError
        If there are no samples; or from scikit-learn, if the model diverges.
    """
    from sklearn import config_context

    if not len(data):
        raise ValueError("the training set is empty: a device needs at least one sample to train on")
    # Checking parameters, and features for NaN, takes longer than a small minibatch.
    with (
        config_context(assume_finite=True, skip_parameter_validation=True),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        for rows in minibatches(len(data), budget.batch_size or batch_size, seed, budget):
            stop.check()
            features, labels, weights = data.features[rows], data.labels[rows], None
            if head.numbers:
                labels = head.scaled(np.asarray(labels, np.float32))
            elif labels.ndim == 2:
                samples, classes = labels.nonzero()
                features, labels, weights = features[samples], classes, labels[samples, classes]
            if hasattr(estimator, "batch_size"):  # else it would cut the minibatch up once more
                estimator.batch_size = len(features)
            estimator.partial_fit(features, labels, sample_weight=weights)
