"""The laws of exchanges."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.exchange import Exchange, GroupModel
from tierwise.core.ids import GroupId, ModelVersion
from tierwise.core.weights import Weights
from tierwise.plugins.testing._laws import TASK, frozen, hold, same

Models = Mapping[GroupId, GroupModel]
Public = NDArray[np.float32]


def check_exchange(exchange: Exchange, models: Models | None = None, public: Public | None = None) -> None:
    """Check that an exchange keeps its contract.

    Parameters
    ----------
    exchange
        What is checked.
    models
        Of two groups or more, with read-only weights; some of the learner ``mlp`` if not given.
    public
        Unlabelled samples for those models, shape ``(n_samples, n_features)``; made up if not given.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    made = _models() if models is None else models
    samples = _public() if public is None else public
    hold(exchange, LAWS, made, samples if exchange.needs_public else None)


def _models(rungs: tuple[tuple[int, ...], ...] = ((2,), (4,), (6, 3))) -> dict[GroupId, GroupModel]:
    from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions  # whoever checks a probe needs neither
    from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

    made = {}
    for number, tier in enumerate(MlpTierProvider(MlpLadderOptions(hidden=rungs)).offers(TASK), start=1):
        learner = MlpLearner(MlpOptions(hidden=tuple(tier.options["hidden"])), TASK)
        weights = learner.initial(number)
        frozen_weights = Weights(weights.layout, frozen(weights.buffer))
        made[GroupId(f"g{number}")] = GroupModel(
            version=ModelVersion(number), tier=tier, learner=learner, weights=frozen_weights
        )
    return made


def _public(count: int = 40) -> Public:
    samples: Public = frozen(np.random.default_rng(5).normal(size=(count, TASK.features)).astype(np.float32))
    return samples


def the_answer_has_the_layout_of_the_groups_model(
    exchange: Exchange, models: Models, public: Public | None
) -> str | None:
    """Each group keeps its own size."""
    for group, model in models.items():
        answered = exchange.exchange(group, models, public, seed=1)
        if answered.layout != model.weights.layout:
            return f"for group {group} of tier {model.tier.name} it has the layout {answered.layout}"
    return None


def the_answer_is_finite(exchange: Exchange, models: Models, public: Public | None) -> str | None:
    """NaN or infinity would reach every device of the group."""
    for group in models:
        if not np.isfinite(exchange.exchange(group, models, public, seed=1).buffer).all():
            return f"for group {group} there are values that are not finite"
    return None


def two_models_are_enough(exchange: Exchange, models: Models, public: Public | None) -> str | None:
    """The second group to close a round has only the first to learn from."""
    two = dict(list(models.items())[:2])
    for group in two:
        answered = exchange.exchange(group, two, public, seed=1)
        if answered.layout != two[group].weights.layout:
            return f"of two models, the one of {group} has another layout afterwards"
    return None


def the_models_stay_as_they_are(exchange: Exchange, models: Models, public: Public | None) -> str | None:
    """They belong to their groups."""
    writeable = {
        name: GroupModel(version=one.version, tier=one.tier, learner=one.learner, weights=one.weights.copy())
        for name, one in models.items()
    }
    for group in models:
        exchange.exchange(group, writeable, public, seed=1)
        changed = [name for name, one in models.items() if writeable[name].weights != one.weights]
        if changed or list(writeable) != list(models):
            return f"the exchange of {group} changed the models of {changed or 'the mapping'}"
    return None


def the_public_set_stays_as_it_is(exchange: Exchange, models: Models, public: Public | None) -> str | None:
    """Every group learns from the same."""
    if public is None:
        return None
    given = public.copy()
    exchange.exchange(next(iter(models)), models, given, seed=1)
    return None if same(given, public) else "the public samples were changed"


def exchange_is_pure(exchange: Exchange, models: Models, public: Public | None) -> str | None:
    """The same models and seed give the same bytes, whatever was exchanged before: who is restarted asks again."""
    first = {group: exchange.exchange(group, models, public, seed=1).copy() for group in models}
    for group in reversed(list(models)):
        exchange.exchange(group, models, public, seed=2)
    for group, before in first.items():
        if exchange.exchange(group, models, public, seed=1) != before:
            return f"asked again, it answers group {group} differently"
    return None


def an_answer_stays_as_it_was(exchange: Exchange, models: Models, public: Public | None) -> str | None:
    """No later exchange writes into its buffer."""
    group = next(iter(models))
    answered = exchange.exchange(group, models, public, seed=1)
    kept = answered.copy()
    for other in models:
        exchange.exchange(other, models, public, seed=3)
    return None if answered == kept else "a later exchange changed an earlier answer"


LAWS: Final = (
    the_answer_has_the_layout_of_the_groups_model,
    the_answer_is_finite,
    two_models_are_enough,
    the_models_stay_as_they_are,
    the_public_set_stays_as_it_is,
    exchange_is_pure,
    an_answer_stays_as_it_was,
)
