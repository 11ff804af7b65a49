"""The laws of tier providers."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from tierwise.core.hardware import DEFAULTS, HardwareEnvelope, Range
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, RoundLimits, Tier, TierProvider, fits
from tierwise.plugins.manager import Plugins
from tierwise.plugins.testing._laws import TASK, hold, same
from tierwise.plugins.testing._learner import cost_fault

_LIMITS: Final = RoundLimits(deadline_s=30.0, samples=1000)


def check_tier_provider(provider: TierProvider, task: Task = TASK, plugins: Plugins | None = None) -> None:
    """Check that a tier provider keeps its contract.

    Parameters
    ----------
    provider
        What is checked.
    task
        What it sizes models for.
    plugins
        Where the learners of its tiers are; if given, they are made and compared with the tiers.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(provider, LAWS, task)
    if plugins is not None:
        hold(provider, (the_learner_agrees_with_the_tier,), task, plugins)


def _envelope(scale: float, **stronger: float) -> HardwareEnvelope:
    values = {name: value * scale * stronger.get(name, 1.0) for name, value in DEFAULTS.items()}
    ranges = {name: Range(least=value, greatest=3 * value) for name, value in values.items()}
    return HardwareEnvelope(devices=5, ranges=ranges)


def _ladder() -> Iterator[HardwareEnvelope]:
    """Yield envelopes from a device that carries nothing to one that carries everything."""
    for exponent in range(-24, 17):
        yield _envelope(10.0 ** (exponent / 4))


def _amounts(cost: Cost) -> tuple[float, ...]:
    return (
        cost.parameters,
        cost.fit_flops_per_sample,
        cost.evaluate_flops_per_sample,
        cost.bytes,
        cost.memory_bytes,
    )


def there_is_an_offer(provider: TierProvider, task: Task) -> str | None:
    """At least one tier."""
    return None if len(provider.offers(task)) else "offers() is empty"


def the_offers_stay_the_same(provider: TierProvider, task: Task) -> str | None:
    """``offers`` is pure."""
    first = list(provider.offers(task))
    provider.choose(task, _envelope(1.0), _LIMITS)
    return None if list(provider.offers(task)) == first else "offers() differs the second time"


def offers_have_names_of_their_own(provider: TierProvider, task: Task) -> str | None:
    """A name means one tier."""
    names = [tier.name for tier in provider.offers(task)]
    return None if len(set(names)) == len(names) else f"the names are {names}"


def offers_go_from_small_to_large(provider: TierProvider, task: Task) -> str | None:
    """No tier may stand after one that costs at least as much in everything, and more in something."""
    offers = provider.offers(task)
    for before, after in pairwise(offers):
        pairs = list(zip(_amounts(before.cost), _amounts(after.cost), strict=True))
        if all(one >= other for one, other in pairs) and any(one > other for one, other in pairs):
            return f"{before.name!r} stands before {after.name!r}, though it costs more"
    return None


def costs_match_the_layouts(provider: TierProvider, task: Task) -> str | None:
    """Who is told a cost relies on it."""
    for tier in provider.offers(task):
        fault = cost_fault(tier.cost, tier.layout)
        if fault:
            return f"{tier.name!r}: {fault}"
    return None


def a_choice_is_on_offer(provider: TierProvider, task: Task) -> str | None:
    """Grouping policies divide a fleet by the offers, so no other tier may come of it."""
    offers = list(provider.offers(task))
    for envelope in _ladder():
        chosen = provider.choose(task, envelope, _LIMITS)
        if chosen not in offers:
            return f"{chosen.name!r} was chosen, on offer are {[tier.name for tier in offers]}"
    return None


def the_same_envelope_gets_the_same_tier(provider: TierProvider, task: Task) -> str | None:
    """``choose`` is pure."""
    envelopes = list(_ladder())
    up = [provider.choose(task, envelope, _LIMITS).name for envelope in envelopes]
    down = [provider.choose(task, envelope, _LIMITS).name for envelope in reversed(envelopes)][::-1]
    return None if up == down else f"from weak to strong it chose {up}, from strong to weak {down}"


def the_weakest_get_the_smallest_tier(provider: TierProvider, task: Task) -> str | None:
    """Where not even the smallest fits, it is chosen all the same."""
    chosen, smallest = provider.choose(task, _envelope(1e-9), _LIMITS), provider.offers(task)[0]
    return None if chosen == smallest else f"{chosen.name!r} was chosen, the smallest is {smallest.name!r}"


def a_choice_fits_where_an_offer_fits(provider: TierProvider, task: Task) -> str | None:
    """`tierwise.core.tiers.fits`: memory holds it, and the weakest device finishes a round in time."""
    offers = provider.offers(task)
    for envelope in _ladder():
        chosen = provider.choose(task, envelope, _LIMITS)
        fitting = [tier.name for tier in offers if fits(tier.cost, envelope, _LIMITS)]
        if fitting and not fits(chosen.cost, envelope, _LIMITS):
            return f"{chosen.name!r} does not fit, {fitting} do, with at least {_shown(envelope)}"
    return None


def a_stronger_envelope_never_gets_a_smaller_tier(provider: TierProvider, task: Task) -> str | None:
    """More of everything, or more of one quantity."""
    offers = list(provider.offers(task))

    def rank(envelope: HardwareEnvelope) -> int:
        chosen: Tier = provider.choose(task, envelope, _LIMITS)
        return offers.index(chosen)

    envelopes = list(_ladder())
    pairs = list(pairwise(envelopes))
    for exponent in range(-6, 5):
        scale = 10.0**exponent
        pairs += [(_envelope(scale), _envelope(scale, **{name: 10.0})) for name in DEFAULTS]
    for weaker, stronger in pairs:
        low, high = rank(weaker), rank(stronger)
        if low > high:
            return (
                f"{offers[low].name!r} was chosen with at least {_shown(weaker)}, but only {offers[high].name!r} "
                f"with {_shown(stronger)}"
            )
    return None


def _shown(envelope: HardwareEnvelope) -> str:
    return ", ".join(f"{name} {limits.least:.3g}" for name, limits in envelope.ranges.items())


def initial_weights_have_the_layout_of_the_tier(provider: TierProvider, task: Task) -> str | None:
    """For every tier, and finite."""
    for tier in provider.offers(task):
        weights = provider.initial(task, tier, 1)
        if weights.layout != tier.layout:
            return f"{tier.name!r} has the layout {tier.layout}, its initial weights {weights.layout}"
        if not np.isfinite(weights.buffer).all():
            return f"the initial weights of {tier.name!r} have values that are not finite"
    return None


def initial_is_pure(provider: TierProvider, task: Task) -> str | None:
    """The same seed gives the same bytes."""
    for tier in provider.offers(task):
        first = provider.initial(task, tier, 1)
        provider.initial(task, tier, 2)
        if not same(provider.initial(task, tier, 1).buffer, first.buffer):
            return f"the initial weights of {tier.name!r} differ the second time"
    return None


def the_learner_agrees_with_the_tier(provider: TierProvider, task: Task, plugins: Plugins) -> str | None:
    """The learner that a tier names, made with the options that it gives, has its layout and cost."""
    for tier in provider.offers(task):
        learner = plugins.learner(tier.learner, tier.options, task)
        if learner.layout != tier.layout:
            return f"{tier.name!r} has the layout {tier.layout}, its learner {tier.learner!r} has {learner.layout}"
        if learner.cost != tier.cost:
            return f"{tier.name!r} has the cost {tier.cost}, its learner {tier.learner!r} has {learner.cost}"
    return None


LAWS: Final = (
    there_is_an_offer,
    the_offers_stay_the_same,
    offers_have_names_of_their_own,
    offers_go_from_small_to_large,
    costs_match_the_layouts,
    a_choice_is_on_offer,
    the_same_envelope_gets_the_same_tier,
    the_weakest_get_the_smallest_tier,
    a_choice_fits_where_an_offer_fits,
    a_stronger_envelope_never_gets_a_smaller_tier,
    initial_weights_have_the_layout_of_the_tier,
    initial_is_pure,
)
