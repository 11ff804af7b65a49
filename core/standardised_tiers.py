"""The tiers of a task that says ``standardise``: with the static tensors from the first offer on.

So who groups, chooses, warns and explains reckons with all that a model takes on the wire, and providers know nothing
of it.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from tierwise.core.framing import frame_bytes
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.other_costs import OtherCosts
from tierwise.core.standardising import extended, unextended, with_statics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, RoundLimits, Tier, TierProvider
from tierwise.core.weights import Weights


class StandardisedTiers:
    """A tier provider's tiers, to which the two tensors are added where the task says ``standardise``.

    Parameters
    ----------
    provider
        Knows nothing of standardisation. It decides by `RoundLimits.predict`, as `tierwise.core.tiers.fits` does, or
        else by the costs of its own tiers, which are somewhat too low.
    """

    def __init__(self, provider: TierProvider) -> None:
        self._provider = provider
        self._beside: dict[Task, int] = {}

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return the provider's tiers, and what the two tensors take with them."""
        offers = self._provider.offers(task)
        return [self._with(task, tier) for tier in offers] if task.standardise else offers

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the provider's choice, within limits that the two tensors take their part of."""
        if not task.standardise:
            return self._provider.choose(task, envelope, limits)
        before = OtherCosts.of(limits, partial(_with_bytes, self._bytes(task)))
        return self._with(task, self._provider.choose(task, envelope, before))

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the provider's weights, and two tensors that change nothing yet.

        Raises
        ------
        LayoutError
            If the weights are not of the provider's own tier.
        """
        if not task.standardise:
            return self._provider.initial(task, tier, seed)
        cost = _with_bytes(-self._bytes(task), tier.cost)
        own = msgspec.structs.replace(tier, layout=unextended(tier.layout), cost=cost)
        weights = self._provider.initial(task, own, seed)
        own.layout.require(weights.layout, f"the initial model of tier {tier.name!r}")
        return with_statics(weights, task.features)

    def _with(self, task: Task, tier: Tier) -> Tier:
        cost = _with_bytes(self._bytes(task), tier.cost)
        return msgspec.structs.replace(tier, layout=extended(tier.layout, task.features), cost=cost)

    def _bytes(self, task: Task) -> int:
        """Return what the two tensors take on the wire: the same for all tiers, so the most, which padding decides."""
        if task not in self._beside:
            layouts = [tier.layout for tier in self._provider.offers(task)]
            more = (frame_bytes(extended(layout, task.features)) - frame_bytes(layout) for layout in layouts)
            self._beside[task] = max(more, default=0)
        return self._beside[task]


def _with_bytes(more: int, cost: Cost) -> Cost:
    return msgspec.structs.replace(cost, bytes=cost.bytes + more)
