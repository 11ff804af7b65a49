"""The codecs of a federation's tiers."""

import msgspec

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import Codec
from tierwise.core.ids import TierName
from tierwise.core.tiers import CodecChoice, Tier
from tierwise.plugins.manager import Plugins


class Codecs:
    """Makes each codec once; since codecs are pure, one serves all.

    Parameters
    ----------
    plugins
        Where codecs are looked up.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._made: dict[bytes, Codec] = {}
        self._updates: dict[TierName, tuple[Tier, CodedUpdates]] = {}

    def __call__(self, choice: CodecChoice) -> Codec:
        """Return a codec.

        Raises
        ------
        PluginError, ConfigurationError
            If it cannot be made.
        """
        key = msgspec.msgpack.encode(choice)
        if key not in self._made:
            self._made[key] = self._plugins.codec(choice.name, choice.options)
        return self._made[key]

    def of(self, tier: Tier) -> CodedUpdates:
        """Return how a tier's updates are coded; raises as a call does."""
        known, updates = self._updates.get(tier.name, (None, None))
        if updates is None or known != tier:  # an agent may come to another federation, with a tier of that name
            updates = CodedUpdates(self(tier.codec), tier.codec.name, tier.layout.aggregated)
            self._updates[tier.name] = tier, updates
        return updates
