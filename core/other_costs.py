"""The limits that a provider is given whose tiers cost more, or less, than it knows of."""

from collections.abc import Callable

from tierwise.core.hardware import HardwareProfile
from tierwise.core.tiers import Cost, Prediction, RoundLimits


class OtherCosts(RoundLimits, frozen=True, kw_only=True):
    """Limits for tiers that are told to others with other costs.

    Attributes
    ----------
    limits
        Those that the tiers must keep as they are told.
    told
        Gives the cost that is told, of a provider's own.
    """

    limits: RoundLimits
    told: Callable[[Cost], Cost]

    @classmethod
    def of(cls, limits: RoundLimits, told: Callable[[Cost], Cost]) -> "OtherCosts":
        """Return the limits of a provider whose tiers' costs are told otherwise."""
        return cls(**{name: getattr(limits, name) for name in RoundLimits.__struct_fields__}, limits=limits, told=told)

    def predict(self, cost: Cost, profile: HardwareProfile) -> Prediction:
        """Predict what a round of a provider's tier costs a device, by the cost that is told."""
        return self.limits.predict(self.told(cost), profile)
