"""Distillation: a group's model learns what all groups' models answer for the same unlabelled samples."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.exchange import GroupModel
from tierwise.core.ids import GroupId
from tierwise.core.learning import Dataset, FitBudget, Predictor, StopToken
from tierwise.core.weights import Weights

Answers = NDArray[np.float32]

STEPS: Final = 12
"""Of an epoch, where nothing else is said: what gave most in ``benchmarks/exchange.py``, with 600 samples."""


class DistillOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `DistillExchange`.

    Attributes
    ----------
    epochs
        Passes over the public set after each round, with the learner's own step size.
    batch_size
        Samples in a minibatch; none for a twelfth of the public set. With more samples a model takes fewer and surer
        steps away from what its group has learned: with minibatches as small as those of training, it forgets.
    weighting
        How the models' answers for a sample are put together: ``confidence`` weighs each by how sure it is, ``equal``
        takes their mean.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1)] = 3
    batch_size: Annotated[int, msgspec.Meta(ge=1)] | None = None
    weighting: Literal["confidence", "equal"] = "confidence"


class DistillExchange:
    """Ensemble distillation on a small public set, without labels.

    Lin et al. 2020, "Ensemble Distillation for Robust Model Fusion in Federated Learning" (FedDF),
    https://arxiv.org/abs/2006.07242, algorithm 3, with groups' models as teachers, the learning group's own among them,
    and the mean of probabilities in place of that of logits. The models need nothing in common but the task. What is
    seen are models of groups, each made of three devices' updates or more, so it goes together with secure sums.

    A teacher's confidence in a sample is ``1 - H / log(classes)``, ``H`` the entropy of its answer in nats: 0 for one
    that does not know, 1 for one that is sure. In a regression all teachers weigh the same.
    """

    needs_public = True
    needs_predictors = True

    def __init__(self, options: DistillOptions) -> None:
        self._options = options

    def exchange(
        self, group: GroupId, models: Mapping[GroupId, GroupModel], public: NDArray[np.float32] | None, *, seed: int
    ) -> Weights:
        """Return the group's model after some epochs on the teachers' answers.

        Raises
        ------
        ConfigurationError
            If there is no public set, or a learner cannot predict.
        """
        if public is None or not len(public):
            raise ConfigurationError(
                "exchange 'distill' needs a public set: unlabelled samples that the coordinator holds", key="exchange"
            )
        answers = [_predicted(model, public) for model in models.values()]
        own = models[group]
        epochs, batch_size = self._options.epochs, self._options.batch_size or max(len(public) // STEPS, 1)
        budget = FitBudget(epochs=epochs, max_samples=epochs * len(public), batch_size=batch_size)
        taught = Dataset(public, self._together(answers))
        return own.learner.fit(own.weights, taught, seed=seed, budget=budget, stop=StopToken()).weights

    def _together(self, answers: Sequence[Answers]) -> Answers:
        stacked = np.stack(answers)
        if stacked.ndim == 2 or self._options.weighting == "equal":
            mean: Answers = stacked.mean(axis=0, dtype=np.float64).astype(np.float32)
            return mean
        weights = _confidence(stacked)
        total = weights.sum(axis=0)
        unsure = total == 0  # nobody knows anything: all weigh the same
        weights[:, unsure], total[unsure] = 1, len(answers)
        soft = np.einsum("gn,gnc->nc", weights / total, stacked, dtype=np.float64)
        labels: Answers = (soft / soft.sum(axis=1, keepdims=True)).astype(np.float32)
        return labels


def _predicted(model: GroupModel, public: Answers) -> Answers:
    if not isinstance(model.learner, Predictor):
        raise ConfigurationError(
            f"exchange 'distill' needs learners that predict; {model.tier.learner!r} of tier {model.tier.name!r} has "
            "no method predict",
            key="exchange",
        )
    return model.learner.predict(model.weights, public)


def _confidence(answers: Answers) -> NDArray[np.float64]:
    """Return each teacher's confidence in each sample, shape ``(teachers, samples)``, of ``(…, classes)``."""
    likely = np.clip(answers, 1e-12, 1.0, dtype=np.float64)
    entropy = -(likely * np.log(likely)).sum(axis=-1)
    confidence: NDArray[np.float64] = np.clip(1 - entropy / np.log(answers.shape[-1]), 0.0, 1.0)
    return confidence
