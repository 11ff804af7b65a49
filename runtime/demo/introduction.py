"""What the demonstration says before any result is known: what is compared, and by which rules."""

from typing import Final

from tierwise.runtime.cli import present
from tierwise.runtime.demo.comparison import TARGET
from tierwise.runtime.demo.plan import BUDGET, ROUNDS, ArmName, Plan

_CATALOGUE: Final = "Their hardware is that of real machines, from published figures."
_ROUNDS: Final = (
    f"All: {ROUNDS} rounds of {BUDGET.epochs} epochs (at most {BUDGET.max_samples} samples); who misses a round's "
    "deadline is not in it."
)
_CLOCK: Final = (
    "The clock counts bytes over the link's rate and FLOPs over the processor's rate, and neither latency nor "
    "overhead; the models are tiny, so rounds take milliseconds. Energy is power at full load for as long as a device "
    "computes, in vain or not; links are not in it."
)


def introduction(plan: Plan, seeds: int, *, yours: bool) -> str:
    """Say what is compared, and by which rules, before any result is known.

    Parameters
    ----------
    plan
        Of the first seed.
    seeds
        How many there are.
    yours
        Whether data or fleet are the user's.
    """
    isolated = any(arm.name is ArmName.ISOLATED for arm in plan.arms)
    fleets = " and draws a fleet" if plan.models is not None else ""
    deals = "deals out the data anew" if plan.dealt else "chooses the hold-outs anew"
    told = [
        _data(plan, yours=yours),
        plan.because,
        _ours(plan),
        "Isolated groups: the same, and each group learns alone." if isolated else "",
        "Largest, and smallest for all: one model of that size for the whole fleet.",
        _ROUNDS,
        _rules(plan),
        _CLOCK,
        f"{seeds} seed{'' if seeds == 1 else 's'}: each {deals}{fleets}.\n",
    ]
    return "\n".join(line for line in told if line)


def _data(plan: Plan, *, yours: bool) -> str:
    samples = sum(len(spec.data.train) + len(spec.data.holdout) for spec in plan.devices.values())
    shared = f"{len(plan.devices):,} devices {'share' if plan.dealt else 'have'} {samples:,} "
    if yours:
        hardware = "Their hardware is from your table." if plan.models is None else _CATALOGUE
        own = "" if plan.dealt else "each has its own and "
        kept = f"{own or 'of which each '}keeps some as its hold-out"
        return f"{shared}samples of {plan.settings.task.name!r}, {kept}. {hardware}"
    return (
        f"{shared}handwritten digits (Dirichlet 0.3: each has its own mixture of classes, and keeps a fifth as its "
        f"hold-out). {_CATALOGUE}"
    )


def _rules(plan: Plan) -> str:
    return (
        "Two rules were fixed before any result. The deadline is the time in which the median device finishes a round "
        f"of the largest model, here {present.duration(plan.deadline_s)}: half the fleet misses it with that model, by "
        "construction; what is compared is what comes of it. The target, to which the time is compared, is "
        f"{100 * TARGET:.0f} % of the best final accuracy in the same seed, over the hold-outs of all devices."
    )


def _ours(plan: Plan) -> str:
    groups = plan.arm(ArmName.TIERWISE).policies.grouping.options["groups"]
    many = "group" if groups == 1 else "groups"
    text = (
        f"tierwise: {groups} {many} by compute, each with the largest of the models on offer that its weakest device "
        "carries in time"
    )
    if not plan.public:
        return f"{text}."
    return (
        f"{text}; after each round a group's model also learns what all groups' models answer for {plan.public:,} "
        "samples without labels, which the coordinator holds and no device has."
    )
