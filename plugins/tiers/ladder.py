"""A ladder of any learners' models: the built-in ones, those of a policy pack, or of a file of one's own."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import msgspec

from tierwise.core.errors import ConfigurationError
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import TierName
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, OptionValues, RoundLimits, Tier
from tierwise.core.weights import Weights
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.parts import Parts
from tierwise.plugins.tiers._choice import last_fitting


class Rung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tier of a ladder.

    Attributes
    ----------
    learner
        Name of the learner plugin.
    options
        The learner's options; those left out have their defaults.
    name
        The tier's; the learner's if it is empty.
    """

    learner: str
    options: OptionValues = {}
    name: str = ""


class LadderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `LadderTierProvider`.

    Attributes
    ----------
    rungs
        The tiers, from the smallest to the largest, each as ``{learner = "…", options = {…}, name = "…"}``: which
        learner computes with it, how that is set, and what it is called (like the learner, if nothing is said). None
        may cost a device more than the next one in everything that a model costs.
    """

    rungs: Annotated[tuple[Rung, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        names = [rung.name or rung.learner for rung in self.rungs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'two rungs are called {twice[0]!r}; give each a name of its own: name = "…"')


class LadderTierProvider:
    """Offers a model for each rung, as its learner makes it, and gives each group the last one that it carries.

    Raises
    ------
    ConfigurationError
        If a rung's learner is not known or its options are wrong; from `offers`, if rungs are in the wrong order or a
        learner cannot do the task.
    """

    def __init__(self, options: LadderOptions, parts: Parts) -> None:
        self._parts = parts
        self._rungs = [
            msgspec.structs.replace(
                rung,
                options=parts.options(Kind.LEARNER, rung.learner, rung.options, at=_key(number), below="options"),
                name=rung.name or rung.learner,
            )
            for number, rung in enumerate(options.rungs)
        ]

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return a tier for each rung, in their order."""
        tiers = [self._tier(number, rung, task) for number, rung in enumerate(self._rungs)]
        for number, (before, after) in enumerate(pairwise(tiers)):
            if before.cost != after.cost and _at_least(before.cost, after.cost):
                raise ConfigurationError(
                    f"tier {before.name!r} ({before.cost.parameters:,} parameters) stands before {after.name!r} "
                    f"({after.cost.parameters:,}), which costs no more in anything: exchange the two",
                    key=self._parts.key(_key(number)),
                )
        return tiers

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the last tier that `tierwise.core.tiers.fits`, or else the first."""
        return last_fitting(self.offers(task), envelope, limits)

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the learner's untrained weights."""
        number = next(number for number, rung in enumerate(self._rungs) if rung.name == tier.name)
        return self._parts.learner(tier.learner, tier.options, task, at=_key(number), below="options").initial(seed)

    def _tier(self, number: int, rung: Rung, task: Task) -> Tier:
        learner = self._parts.learner(rung.learner, rung.options, task, at=_key(number), below="options")
        return Tier(
            name=TierName(rung.name),
            learner=rung.learner,
            options=rung.options,
            layout=learner.layout,
            cost=learner.cost,
        )


def _key(number: int) -> str:
    return f"rungs.{number}"


def _at_least(one: Cost, other: Cost) -> bool:
    return all(a >= b for a, b in zip(_amounts(one), _amounts(other), strict=True))


def _amounts(cost: Cost) -> tuple[float, ...]:
    return (
        cost.parameters,
        cost.fit_flops_per_sample,
        cost.evaluate_flops_per_sample,
        cost.bytes,
        cost.memory_bytes,
        cost.update_bytes,
    )
