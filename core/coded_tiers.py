"""A federation's tiers with the codec of their updates: with the bytes that an update takes on its way up.

So who groups, chooses, warns and explains reckons with what devices really send, and providers know nothing of codecs.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import Codec
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.other_costs import OtherCosts
from tierwise.core.task import Task
from tierwise.core.tiers import CodecChoice, Cost, RoundLimits, Tier, TierProvider
from tierwise.core.weights import Weights


class CodedTiers:
    """A tier provider's tiers, whose updates are coded.

    Parameters
    ----------
    provider
        Knows nothing of codecs. It decides by `RoundLimits.predict`, as `tierwise.core.tiers.fits` does, or else by
        the costs of its own tiers, whose uploads are too long.
    codec, choice
        The codec, and how it was chosen.
    """

    def __init__(self, provider: TierProvider, codec: Codec, choice: CodecChoice) -> None:
        self._provider = provider
        self._codec = codec
        self._choice = choice

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return the provider's tiers, and what their updates take."""
        return [self._with(tier) for tier in self._provider.offers(task)]

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the provider's choice, within limits for what its updates take."""
        told = {tier.cost: self._cost(tier) for tier in self._provider.offers(task)}

        def coded(cost: Cost) -> Cost:
            return told.get(cost, cost)

        return self._with(self._provider.choose(task, envelope, OtherCosts.of(limits, coded)))

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the provider's weights for its own tier."""
        own = next((one for one in self._provider.offers(task) if self._with(one) == tier), tier)
        return self._provider.initial(task, own, seed)

    def _with(self, tier: Tier) -> Tier:
        return replace(tier, codec=self._choice, cost=self._cost(tier))

    def _cost(self, tier: Tier) -> Cost:
        updates = CodedUpdates(self._codec, self._choice.name, tier.layout.aggregated)
        if updates.plain:
            return tier.cost
        kept_bytes = 4 * updates.layout.size if self._codec.feedback else 0
        return replace(tier.cost, upload_bytes=updates.update_bytes, memory_bytes=tier.cost.memory_bytes + kept_bytes)
