"""Learners, right and broken: a softmax regression, and what can go wrong with it."""

import numpy as np

from tierwise.core.learning import Dataset, Fit
from tierwise.core.measuring import measure_numbers
from tierwise.core.metrics import Metric
from tierwise.core.tiers import Cost
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.testing import REGRESSION_TASK, TASK

BATCH = 16


class Right:
    """Every method is in pieces that a broken learner replaces."""

    layout = Layout.of({"bias": (3,), "weight": (TASK.features, 3)})
    cost = Cost(parameters=21, fit_flops_per_sample=126.0, evaluate_flops_per_sample=42.0, bytes=84, memory_bytes=1000)

    def initial(self, seed):
        random = np.random.default_rng(seed)
        return Weights(self.layout, random.normal(scale=0.1, size=self.layout.size).astype(np.float32))

    def predict(self, weights, features):
        logits = features @ weights["weight"] + weights["bias"]
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-1e9))
        return exponents / exponents.sum(axis=1, keepdims=True)

    def descend(self, weights, batch, rate=0.1):
        error = self.predict(weights, batch.features)
        error -= np.eye(3, dtype=np.float32)[batch.labels] if batch.labels.ndim == 1 else batch.labels
        weights["weight"][...] -= np.float32(rate / len(batch)) * (batch.features.T @ error)
        weights["bias"][...] -= np.float32(rate / len(batch)) * error.sum(axis=0)

    def batches(self, data, seed, left):
        random = np.random.default_rng(seed)
        while left > 0:
            order = random.permutation(len(data))
            for start in range(0, len(order), BATCH):
                rows = order[start : start + min(BATCH, left)]
                if left <= 0:
                    return
                left -= len(rows)
                yield data.take(rows)

    def train(self, weights, data, seed, samples, stop):
        for batch in self.batches(data, seed, samples):
            stop.check()
            self.descend(weights, batch)

    def fit(self, weights, data, *, seed, budget, stop):
        trained = weights.copy()
        self.train(trained, data, seed, budget.samples(len(data)), stop)
        return Fit(trained, len(data))

    def evaluate(self, weights, data):
        chances = self.predict(weights, data.features)
        hits = (chances.argmax(axis=1) == data.labels).sum()
        loss = -np.log(np.maximum(chances[np.arange(len(data)), data.labels], 1e-9)).sum(dtype=np.float64)
        return {
            "accuracy": Metric(sum=float(hits), count=len(data)),
            "log_loss": Metric(sum=float(loss), count=len(data)),
        }


class AnotherLayout(Right):
    def initial(self, seed):
        return Weights.zeros(Layout.of({"weight": (TASK.features, 3)}))


class Infinite(Right):
    def initial(self, seed):
        weights = super().initial(seed)
        weights["bias"][0] = np.inf
        return weights


class OneGenerator(Right):
    def __init__(self):
        self.random = np.random.default_rng(0)

    def initial(self, seed):
        return super().initial(int(self.random.integers(1000)))


class Free(Right):
    cost = Cost(parameters=21, fit_flops_per_sample=0.0, evaluate_flops_per_sample=0.0, bytes=84, memory_bytes=1000)


class FitsInPlace(Right):
    def fit(self, weights, data, *, seed, budget, stop):
        self.train(weights, data, seed, budget.samples(len(data)), stop)
        return Fit(weights, len(data))


class ScalesTheData(Right):
    def fit(self, weights, data, *, seed, budget, stop):
        if data.features.flags.writeable:
            data.features[...] /= 16
        return super().fit(weights, data, seed=seed, budget=budget, stop=stop)


class TrainsAPart(Right):
    def fit(self, weights, data, *, seed, budget, stop):
        fit = super().fit(weights, data, seed=seed, budget=budget, stop=stop)
        return Fit(Weights.of({"bias": fit.weights["bias"]}), fit.samples)


class Diverges(Right):
    def descend(self, weights, batch, rate=0.1):
        weights["weight"][...] = np.nan


class LearnsNothing(Right):
    def descend(self, weights, batch, rate=0.1):
        pass


class KeepsMomentum(Right):
    """A velocity that lives on from fit to fit."""

    velocity = 0

    def descend(self, weights, batch, rate=0.1):
        before = weights.buffer.copy()
        super().descend(weights, batch, rate)
        self.velocity = np.float32(0.5) * self.velocity + (weights.buffer - before)
        weights.buffer[...] = before + self.velocity


class OneBuffer(Right):
    """All fits return the same buffer."""

    def __init__(self):
        self.buffer = np.empty(self.layout.size, np.float32)

    def fit(self, weights, data, *, seed, budget, stop):
        fit = super().fit(weights, data, seed=seed, budget=budget, stop=stop)
        self.buffer[...] = fit.weights.buffer
        return Fit(Weights(self.layout, self.buffer), fit.samples)


class CountsWhatItProcessed(Right):
    def fit(self, weights, data, *, seed, budget, stop):
        fit = super().fit(weights, data, seed=seed, budget=budget, stop=stop)
        return Fit(fit.weights, budget.samples(len(data)))


class IgnoresTheBudget(Right):
    def fit(self, weights, data, *, seed, budget, stop):
        trained = weights.copy()
        self.train(trained, data, seed, budget.epochs * len(data), stop)
        return Fit(trained, len(data))


class ChecksOnce(Right):
    def train(self, weights, data, seed, samples, stop):
        stop.check()
        for batch in self.batches(data, seed, samples):
            self.descend(weights, batch)


class OnlyAccuracy(Right):
    def evaluate(self, weights, data):
        return {"accuracy": super().evaluate(weights, data)["accuracy"]}


class DropsTheLastBatch(Right):
    def evaluate(self, weights, data):
        kept = max(len(data) // BATCH * BATCH, 0)
        return super().evaluate(weights, data.take(np.arange(kept)))


class CountsNobodyOnce(Right):
    def evaluate(self, weights, data):
        found = super().evaluate(weights, data)
        return {name: Metric(sum=metric.sum, count=max(metric.count, 1)) for name, metric in found.items()}


class Means(Right):
    def evaluate(self, weights, data):
        found = super().evaluate(weights, data)
        return {name: Metric(sum=m.mean if m.count else 0.0, count=m.count) for name, m in found.items()}


class EvaluatesWithLastScale(Right):
    """Standardises by the first data that it sees."""

    def __init__(self):
        self.fits = 0

    def train(self, weights, data, seed, samples, stop):
        self.fits += 1
        super().train(weights, data, seed, samples, stop)

    def evaluate(self, weights, data):
        return super().evaluate(weights, Dataset(data.features * np.float32(0.5**self.fits), data.labels))


class Logits(Right):
    def predict(self, weights, features):
        return np.log(super().predict(weights, features))

    def descend(self, weights, batch, rate=0.1):
        error = np.exp(self.predict(weights, batch.features)) - np.eye(3, dtype=np.float32)[batch.labels]
        weights["weight"][...] -= np.float32(rate / len(batch)) * (batch.features.T @ error)

    def evaluate(self, weights, data):
        return Right().evaluate(weights, data)


class CountsItsPredictions(Right):
    """Each answer is a little surer than the one before."""

    def __init__(self):
        self.asked = 0

    def predict(self, weights, features):
        self.asked += 1
        return super().predict(weights, features * np.float32(1 + self.asked))

    def descend(self, weights, batch, rate=0.1):
        Right().descend(weights, batch, rate)

    def evaluate(self, weights, data):
        return Right().evaluate(weights, data)


class PredictsBackwards(Right):
    def predict(self, weights, features):
        return super().predict(weights, features)[:, ::-1].copy()

    def descend(self, weights, batch, rate=0.1):
        Right().descend(weights, batch, rate)

    def evaluate(self, weights, data):
        return Right().evaluate(weights, data)


class HardensLabels(Right):
    def descend(self, weights, batch, rate=0.1):
        labels = batch.labels.argmax(axis=1) if batch.labels.ndim == 2 else batch.labels
        super().descend(weights, Dataset(batch.features, labels), rate)


class CannotPredict:
    """Says that it cannot teach or be taught: it has no `predict`, and takes hard labels alone."""

    def __init__(self):
        self.right = Right()

    def __getattr__(self, name):
        if name == "predict":
            raise AttributeError(name)
        return getattr(self.right, name)


class RightNumbers(Right):
    """A linear regression."""

    layout = Layout.of({"bias": (1,), "weight": (REGRESSION_TASK.features, 1)})
    cost = Cost(parameters=7, fit_flops_per_sample=36.0, evaluate_flops_per_sample=12.0, bytes=28, memory_bytes=1000)

    def predict(self, weights, features):
        return (features @ weights["weight"] + weights["bias"])[:, 0]

    def descend(self, weights, batch, rate=0.1):
        error = self.predict(weights, batch.features) - batch.labels
        weights["weight"][:, 0] -= np.float32(rate / len(batch)) * (batch.features.T @ error)
        weights["bias"][0] -= np.float32(rate / len(batch)) * error.sum()

    def evaluate(self, weights, data):
        return measure_numbers(REGRESSION_TASK.metrics, RightNumbers.predict(self, weights, data.features), data.labels)


class AColumn(RightNumbers):
    def predict(self, weights, features):
        return super().predict(weights, features)[:, None]

    def descend(self, weights, batch, rate=0.1):
        RightNumbers().descend(weights, batch, rate)


class AnotherUnit(RightNumbers):
    def predict(self, weights, features):
        return super().predict(weights, features) * np.float32(1000)

    def descend(self, weights, batch, rate=0.1):
        RightNumbers().descend(weights, batch, rate)


RIGHT = {"softmax regression": Right(), "one that cannot predict": CannotPredict()}
BROKEN = {
    "initial weights have the layout": AnotherLayout(),
    "initial weights are finite": Infinite(),
    "initial is pure": OneGenerator(),
    "cost matches the layout": Free(),
    "fit leaves the given weights alone": FitsInPlace(),
    "fit leaves the data alone": ScalesTheData(),
    "fit keeps the layout": TrainsAPart(),
    "fit gives finite weights": Diverges(),
    "fit changes the weights": LearnsNothing(),
    "fit is pure": KeepsMomentum(),
    "a result stays as it was": OneBuffer(),
    "samples counts the training samples": CountsWhatItProcessed(),
    "the budget is kept": IgnoresTheBudget(),
    "fit stops when told": ChecksOnce(),
    "evaluate reports the metrics of the task": OnlyAccuracy(),
    "evaluate counts all samples": DropsTheLastBatch(),
    "an empty hold out counts 0": CountsNobodyOnce(),
    "metrics add up": Means(),
    "evaluate is pure": EvaluatesWithLastScale(),
    "predictions have the form of the task": Logits(),
    "predict is pure": CountsItsPredictions(),
    "predictions agree with evaluate": PredictsBackwards(),
    "soft labels are learned from": HardensLabels(),
}
RIGHT_NUMBERS = RightNumbers()
BROKEN_NUMBERS = {
    "predictions have the form of the task": AColumn(),
    "predictions agree with evaluate": AnotherUnit(),
}
"""Held to their laws by a task of numbers."""
