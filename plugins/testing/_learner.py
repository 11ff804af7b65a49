"""The laws of learners."""

# A law's docstring states the law or its reason; it takes all that the check was given.
# ruff: noqa: ARG001, D401

from typing import Final

import numpy as np

from tierwise.core.framing import frame
from tierwise.core.learning import Dataset, Fit, FitBudget, FitStopped, Learner, StopToken
from tierwise.core.task import Loss, Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.testing._laws import TASK, frozen, hold, same
from tierwise.plugins.testing._predictor import PREDICTOR_LAWS

_BUDGET: Final = FitBudget(epochs=2, max_samples=400)


def check_learner(learner: Learner, task: Task = TASK, data: Dataset | None = None) -> None:
    """Check that a learner keeps its contract; with the method ``predict``, that of a `Predictor`, too.

    Parameters
    ----------
    learner
        What is checked, made for ``task``.
    task
        What it learns: `TASK`, `REGRESSION_TASK`, or one of your own.
    data
        At least 30 samples of that task, with hard labels; made up if not given.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(learner, LAWS, task, _made_up(task) if data is None else data)


def _made_up(task: Task, count: int = 120) -> Dataset:
    """Make classes that lie apart from each other, or numbers that follow from the features; with some noise."""
    random = np.random.default_rng(3)
    if task.loss is Loss.SQUARED_ERROR:
        features = random.normal(size=(count, task.features))
        slopes = random.normal(size=task.features) / np.sqrt(task.features)
        numbers = features @ slopes + 0.1 * random.normal(size=count)
        return Dataset(frozen(features.astype(np.float32)), frozen(numbers.astype(np.float32)))
    centres = random.normal(size=(len(task.classes), task.features))
    labels = random.integers(0, len(task.classes), count)
    features = centres[labels] + 0.5 * random.normal(size=(count, task.features))
    return Dataset(frozen(features.astype(np.float32)), frozen(labels.astype(np.int64)))


def _fit(learner: Learner, weights: Weights, data: Dataset, seed: int = 5) -> Fit:
    return learner.fit(weights, data, seed=seed, budget=_BUDGET, stop=StopToken())


def _received(learner: Learner, seed: int = 1) -> Weights:
    """Return weights as they come from the network: their buffer is read-only."""
    weights = learner.initial(seed)
    return Weights(weights.layout, frozen(weights.buffer))


def cost_fault(cost: Cost, layout: Layout) -> str | None:
    """Say what is wrong with a cost for a layout."""
    if cost.parameters != layout.size:
        return f"parameters is {cost.parameters}, the layout has {layout.size} values"
    smallest = 4 * layout.aggregated.size
    largest = 4 * layout.size + len(frame(Weights.zeros(layout))[0])
    if not smallest <= cost.bytes <= largest:
        return f"bytes is {cost.bytes}, expected {smallest} to {largest} (float32, with or without the header)"
    if cost.memory_bytes < smallest:
        return f"memory_bytes is {cost.memory_bytes}, less than the model's own {smallest}"
    if not 0 < cost.evaluate_flops_per_sample <= cost.fit_flops_per_sample < float("inf"):
        return (
            f"a sample costs {cost.evaluate_flops_per_sample} FLOPs to evaluate and {cost.fit_flops_per_sample} "
            "to fit; the first is more than 0, the second at least as much, since it has a forward pass, too"
        )
    return None


def initial_weights_have_the_layout(learner: Learner, task: Task, data: Dataset) -> str | None:
    """For every seed."""
    for seed in range(3):
        if learner.initial(seed).layout != learner.layout:
            return f"initial({seed}) has the layout {learner.initial(seed).layout}, the learner has {learner.layout}"
    return None


def initial_weights_are_finite(learner: Learner, task: Task, data: Dataset) -> str | None:
    """NaN or infinity would be refused from a device."""
    return None if np.isfinite(learner.initial(0).buffer).all() else "initial(0) has values that are not finite"


def initial_is_pure(learner: Learner, task: Task, data: Dataset) -> str | None:
    """The same seed gives the same bytes, whatever was made or fitted before, in a buffer of its own."""
    first = learner.initial(1)
    kept = frozen(first.buffer)
    learner.initial(2)
    _fit(learner, learner.initial(2), data)
    if not same(learner.initial(1).buffer, kept):
        return "initial(1) gives other bytes after a fit"
    return None if same(first.buffer, kept) else "weights that initial(1) returned have changed since"


def cost_matches_the_layout(learner: Learner, task: Task, data: Dataset) -> str | None:
    """The runtime tells from the cost which devices carry the model, and how long they take."""
    return cost_fault(learner.cost, learner.layout)


def fit_leaves_the_given_weights_alone(learner: Learner, task: Task, data: Dataset) -> str | None:
    """They are evaluated, too, and are needed to make the update."""
    given, before = learner.initial(1).copy(), learner.initial(1).copy()
    trained = _fit(learner, given, data).weights
    if given != before:
        return "the weights that were given have changed"
    if np.shares_memory(trained.buffer, given.buffer):
        return "the trained weights share the buffer of those that were given"
    _fit(learner, _received(learner), data)  # raises if it wants to write
    return None


def fit_leaves_the_data_alone(learner: Learner, task: Task, data: Dataset) -> str | None:
    """It is the device's own."""
    given = Dataset(data.features.copy(), data.labels.copy())
    _fit(learner, _received(learner), given)
    unchanged = same(given.features, data.features) and same(given.labels, data.labels)
    return None if unchanged else "the data have changed"


def fit_keeps_the_layout(learner: Learner, task: Task, data: Dataset) -> str | None:
    """An update of another layout is refused."""
    found = _fit(learner, _received(learner), data).weights.layout
    return None if found == learner.layout else f"the trained weights have the layout {found}"


def fit_gives_finite_weights(learner: Learner, task: Task, data: Dataset) -> str | None:
    """With its default options on data that are easy; others may diverge."""
    found = _fit(learner, _received(learner), data).weights.buffer
    return None if np.isfinite(found).all() else "the trained weights have values that are not finite"


def fit_changes_the_weights(learner: Learner, task: Task, data: Dataset) -> str | None:
    """Else nothing is learned."""
    given = _received(learner)
    return "the trained weights are those given" if _fit(learner, given, data).weights == given else None


def fit_is_pure(learner: Learner, task: Task, data: Dataset) -> str | None:
    """The same weights, data and seed give the same bytes, whatever was fitted before.

    Optimizer moments, a random generator or a batch normalisation's statistics that live on in the learner break it.
    """
    weights, kept = _received(learner), _received(learner)
    first = _fit(learner, weights, data).weights.copy()
    _fit(learner, _received(learner, 9), data.take(np.arange(len(data) // 2)[::-1].copy()), seed=6)
    learner.evaluate(weights, data)
    again = _fit(learner, kept, data).weights
    return None if first == again else "the same fit gives other bytes after another fit"


def a_result_stays_as_it_was(learner: Learner, task: Task, data: Dataset) -> str | None:
    """Trained weights are in a buffer of their own, which no later fit writes into."""
    trained = _fit(learner, _received(learner), data).weights
    kept = trained.copy()
    _fit(learner, _received(learner, 9), data, seed=6)
    return None if trained == kept else "a later fit changed the weights that an earlier one returned"


def samples_counts_the_training_samples(learner: Learner, task: Task, data: Dataset) -> str | None:
    """It is the update's weight in an average, however little of the data the budget allowed."""
    for count in (len(data), 1):
        part = data.take(np.arange(count))
        fit = learner.fit(_received(learner), part, seed=1, budget=FitBudget(epochs=3, max_samples=8), stop=StopToken())
        if fit.samples != count:
            return f"samples is {fit.samples}, the training data have {count}"
    return None


class _CountingToken(StopToken):
    """Counts the minibatches, and tells the fit to stop at one of them."""

    __slots__ = ("checks", "last")

    def __init__(self, last: int) -> None:
        super().__init__()
        self.checks = 0
        self.last = last

    def check(self) -> None:
        self.checks += 1
        if self.checks >= self.last:
            self.stop()
        super().check()


def the_budget_is_kept(learner: Learner, task: Task, data: Dataset) -> str | None:
    """``max_samples`` bounds all epochs together: each minibatch has a sample at least, and is checked for once."""
    budget = FitBudget(epochs=500, max_samples=4)
    token = _CountingToken(last=50)
    try:
        learner.fit(_received(learner), data, seed=1, budget=budget, stop=token)
    except FitStopped:
        return f"with {budget} it goes on after {token.checks - 1} minibatches"
    return None


def fit_stops_when_told(learner: Learner, task: Task, data: Dataset) -> str | None:
    """Before the first minibatch, and in the midst of them."""
    for last in (1, 3):
        token = _CountingToken(last)
        # The second bound ends a learner that never checks.
        budget = FitBudget(epochs=50, max_samples=50 * len(data))
        try:
            learner.fit(_received(learner), data, seed=1, budget=budget, stop=token)
        except FitStopped:
            continue
        return (
            f"it went on to the end after {token.checks} calls of stop.check(), told to stop at number {last}; "
            "call it before every minibatch and let FitStopped pass"
        )
    return None


def evaluate_reports_the_metrics_of_the_task(learner: Learner, task: Task, data: Dataset) -> str | None:
    """All of them, and no others, with finite sums."""
    found = learner.evaluate(_received(learner), data)
    if set(found) != set(task.sums):
        return f"it reports {sorted(found)}, the task has {sorted(task.sums)}"
    infinite = [name for name, metric in found.items() if not np.isfinite(metric.sum)]
    return f"the sum of {infinite[0]!r} is {found[infinite[0]].sum}" if infinite else None


def evaluate_counts_all_samples(learner: Learner, task: Task, data: Dataset) -> str | None:
    """Also those of an incomplete last batch."""
    for count in (len(data), 7, 1):
        for name, metric in learner.evaluate(_received(learner), data.take(np.arange(count))).items():
            if metric.count != count:
                return f"{name!r} has the count {metric.count} over {count} samples"
    return None


def an_empty_hold_out_counts_0(learner: Learner, task: Task, data: Dataset) -> str | None:
    """A device may be without a hold-out."""
    for name, metric in learner.evaluate(_received(learner), data.take(np.arange(0))).items():
        if metric.count != 0 or metric.sum != 0:
            return f"{name!r} is {metric} over no samples"
    return None


def metrics_add_up(learner: Learner, task: Task, data: Dataset) -> str | None:
    """They are sums over samples, not means: those of two parts add up to those of the whole."""
    weights, middle = _received(learner), len(data) // 3
    whole = learner.evaluate(weights, data)
    one = learner.evaluate(weights, data.take(np.arange(middle)))
    other = learner.evaluate(weights, data.take(np.arange(middle, len(data))))
    for name, metric in whole.items():
        total = one[name].sum + other[name].sum
        if not np.isclose(total, metric.sum, rtol=1e-3, atol=1e-3):
            return f"{name!r} is {metric.sum:g} over all samples, and {total:g} in two parts"
    return None


def evaluate_is_pure(learner: Learner, task: Task, data: Dataset) -> str | None:
    """It changes nothing, and the same weights and data give the same metrics."""
    weights = learner.initial(1).copy()
    first = learner.evaluate(weights, data)
    if weights != learner.initial(1):
        return "the weights that were given have changed"
    learner.evaluate(_received(learner, 9), data.take(np.arange(5)))
    _fit(learner, _received(learner, 9), data)
    again = learner.evaluate(_received(learner), data)
    return None if first == again else f"first {first}, then {again}"


LAWS: Final = (
    initial_weights_have_the_layout,
    initial_weights_are_finite,
    initial_is_pure,
    cost_matches_the_layout,
    fit_leaves_the_given_weights_alone,
    fit_leaves_the_data_alone,
    fit_keeps_the_layout,
    fit_gives_finite_weights,
    fit_changes_the_weights,
    fit_is_pure,
    a_result_stays_as_it_was,
    samples_counts_the_training_samples,
    the_budget_is_kept,
    fit_stops_when_told,
    evaluate_reports_the_metrics_of_the_task,
    evaluate_counts_all_samples,
    an_empty_hold_out_counts_0,
    metrics_add_up,
    evaluate_is_pure,
    *PREDICTOR_LAWS,
)
