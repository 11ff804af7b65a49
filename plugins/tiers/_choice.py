"""How a ladder of tiers is climbed."""

from collections.abc import Sequence

from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.tiers import RoundLimits, Tier, fits


def last_fitting(offers: Sequence[Tier], envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
    """Return the last tier that `tierwise.core.tiers.fits`, or else the first.

    What fits an envelope also fits a stronger one, so it never becomes an earlier one as hardware grows.
    """
    return next((tier for tier in reversed(offers) if fits(tier.cost, envelope, limits)), offers[0])
