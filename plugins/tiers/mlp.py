"""A ladder of multi-layer perceptrons, from the smallest to the largest."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import TierName
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues, RoundLimits, Tier
from tierwise.core.weights import Weights
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.tiers._choice import last_fitting

_SHARED: Final = tuple(name for name in MlpOptions.__struct_fields__ if name != "hidden")
"""The learner's options that all tiers have in common."""
Rung = tuple[Annotated[int, msgspec.Meta(ge=1)], ...]
"""Units of each hidden layer of one tier."""


class MlpLadderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `MlpTierProvider`.

    Attributes
    ----------
    hidden
        The tiers, in any order, each as the units of its hidden layers: ``[[8], [128], [256, 256]]``; ``[]`` is a
        softmax or linear regression.
    learning_rate, batch_size, proximal, target_centre, target_scale
        The options of the learner ``mlp`` with these names, the same for all tiers.
    """

    hidden: Annotated[tuple[Rung, ...], msgspec.Meta(min_length=1)] = ((8,), (32,), (128,), (512,))
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 10
    proximal: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    target_centre: float = 0.0
    target_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    def __post_init__(self) -> None:
        if len(set(self.hidden)) < len(self.hidden):
            raise ValueError(f"hidden has one tier twice: {[list(rung) for rung in self.hidden]}")


class MlpTierProvider:
    """Offers a ladder of models for the learner ``mlp``, and gives each group the largest that it carries.

    Tiers are named for their hidden layers: ``mlp-128``, ``mlp-256x256``, ``mlp-linear`` without any. They are in
    the order of their parameters; since a tier that fits an envelope also fits a stronger one, the largest that
    fits never becomes smaller as hardware grows.
    """

    def __init__(self, options: MlpLadderOptions) -> None:
        self._options = options

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return the ladder, the smallest first."""
        tiers = [self._tier(rung, task) for rung in self._options.hidden]
        return sorted(tiers, key=lambda tier: (tier.cost.parameters, tier.cost.fit_flops_per_sample, tier.name))

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the largest tier that `tierwise.core.tiers.fits`, or else the smallest."""
        return last_fitting(self.offers(task), envelope, limits)

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the learner's untrained weights."""
        return MlpLearner(msgspec.convert(tier.options, MlpOptions), task).initial(seed)

    def _tier(self, rung: Rung, task: Task) -> Tier:
        options = MlpOptions(hidden=rung, **{name: getattr(self._options, name) for name in _SHARED})
        learner = MlpLearner(options, task)
        return Tier(
            name=TierName(f"mlp-{'x'.join(map(str, rung)) or 'linear'}"),
            learner="mlp",
            options=_plain(options),
            layout=learner.layout,
            cost=learner.cost,
        )


def _plain(options: MlpOptions) -> OptionValues:
    """Return options as they come back from a log or a message: with lists, so that tiers compare equal."""
    return {**msgspec.structs.asdict(options), "hidden": list(options.hidden)}
