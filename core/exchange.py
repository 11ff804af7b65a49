"""Exchange: how groups learn from each other, though their models differ in size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tierwise.core.ids import GroupId, ModelVersion
from tierwise.core.learning import Learner
from tierwise.core.tiers import Tier
from tierwise.core.weights import Weights

NO_EXCHANGE = "none"
"""The name that stands for no exchange: each group learns alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupModel:
    """The latest model of a group, and what computes with it.

    Attributes
    ----------
    version
        How many rounds made it, at least 1.
    tier, learner
        Its size, and who can compute with it.
    weights
        Read-only.
    """

    version: ModelVersion
    tier: Tier
    learner: Learner
    weights: Weights


class Exchange(Protocol):
    """Lets a group learn from the others: a plugin, made as ``Class(options)`` or ``Class()``.

    It is asked after each round of a group, once another group has a model, too, and what it answers is the group's
    model from then on. It sees models of groups, never an update. No group waits for another: of each it sees the
    latest model.
    """

    @property
    def needs_public(self) -> bool:
        """Whether it needs a public set: unlabelled samples that the coordinator holds."""
        ...

    @property
    def needs_predictors(self) -> bool:
        """Whether every learner has to be a `tierwise.core.learning.Predictor`."""
        ...

    def exchange(
        self, group: GroupId, models: Mapping[GroupId, GroupModel], public: NDArray[np.float32] | None, *, seed: int
    ) -> Weights:
        """Return the group's model after it has learned from the others, in a buffer of its own or unchanged.

        A pure function.

        Parameters
        ----------
        group
            Who learns.
        models
            Its own model and those of all other groups that have one, from the weakest group to the strongest.
        public
            Shape ``(n_samples, n_features)``, divided by the task's scale already; None if the coordinator has none.
        seed
            Differs from round to round.
        """
        ...
