"""Why a device is where it is: groups and tiers as they would be formed, with the numbers that decide."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from tierwise.core.errors import PluginFailedError, TierwiseError
from tierwise.core.grouping import Grouping, GroupingPolicy
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile, fleet_table
from tierwise.core.ids import DeviceId, GroupId, TierName
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, Excess, Prediction, RoundLimits, Tier, TierProvider
from tierwise.runtime.exceptions import told
from tierwise.runtime.straining import some_of, strain_sentence, strained


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a round of a tier would cost a device.

    Attributes
    ----------
    tier
        Its name.
    predicted, round_s
        What it would cost, and download, computing and upload together, in seconds.
    excesses
        What it asks too much of; empty if the device carries it.
    """

    tier: TierName
    predicted: Prediction
    round_s: float
    excesses: tuple[Excess, ...]


class DeviceExplained(msgspec.Struct, frozen=True, kw_only=True):
    """Why a device is where it is.

    Attributes
    ----------
    model
        Which device model it was drawn as; None for a fleet of the user's own.
    group, tier
        None if it is in no group.
    reason
        The policy's own words; empty where it gives none.
    profile
        Its hardware, completed with the defaults.
    verdicts
        On each tier that is on offer, from the smallest to the largest.
    """

    device: DeviceId
    model: str | None
    group: GroupId | None
    tier: TierName | None
    reason: str
    profile: HardwareProfile
    verdicts: tuple[Verdict, ...]

    @property
    def carries(self) -> TierName | None:
        """The largest tier that the device carries."""
        return next((one.tier for one in reversed(self.verdicts) if not one.excesses), None)


class GroupExplained(msgspec.Struct, frozen=True, kw_only=True):
    """Why a group has its tier.

    Attributes
    ----------
    envelope
        The ranges of its devices' hardware.
    tier
        What it is given.
    round_s
        Seconds of a round on the slowest of its devices.
    carry_more
        How many of its devices carry a larger tier, which the others, or the policy, keep them from.
    reason
        Why it is that tier and no other.
    """

    group: GroupId
    devices: tuple[DeviceId, ...]
    envelope: HardwareEnvelope
    tier: TierName
    round_s: float
    carry_more: int
    reason: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A tier on offer, and how many devices of the fleet carry it."""

    tier: TierName
    cost: Cost
    carried_by: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How a fleet is divided, and why.

    Attributes
    ----------
    policy, provider
        The names of those who decide.
    limits
        What a round may cost a device.
    groups
        From the weakest to the strongest.
    unplaced
        Why a device is in no group.
    warnings
        Groups whose tier asks too much of some of their devices.
    devices
        By id.
    """

    federation: str
    policy: str
    provider: str
    limits: RoundLimits
    offers: tuple[Offer, ...]
    groups: tuple[GroupExplained, ...]
    unplaced: dict[DeviceId, str]
    warnings: tuple[str, ...]
    devices: tuple[DeviceExplained, ...]


@dataclass(frozen=True, slots=True)
class Deciding:
    """Who divides the fleet and who sizes the models, by name, for which task, and within which limits."""

    federation: str
    policy: str
    grouping: GroupingPolicy
    provider: str
    tiers: TierProvider
    task: Task
    limits: RoundLimits

    def offers(self) -> tuple[Tier, ...]:
        """Ask for the tiers on offer."""
        with _blaming(f"tier provider {self.provider!r}"):
            return tuple(self.tiers.offers(self.task))

    def chosen(self, envelope: HardwareEnvelope) -> Tier:
        """Ask for a group's tier."""
        with _blaming(f"tier provider {self.provider!r}"):
            return self.tiers.choose(self.task, envelope, self.limits)

    def grouped(self, fleet: Mapping[DeviceId, HardwareProfile], offers: Sequence[Tier]) -> Grouping:
        """Ask for the groups."""
        with _blaming(f"grouping policy {self.policy!r}"):
            grouping = self.grouping.group(fleet_table(fleet), offers, self.limits)
        fault = grouping.fault(list(fleet))
        if fault is not None:
            raise PluginFailedError(f"the answer of grouping policy {self.policy!r} cannot be used: {fault}")
        return grouping


@contextmanager
def _blaming(plugin: str) -> Iterator[None]:
    try:
        yield
    except TierwiseError:
        raise  # the plugin says itself what is wrong
    except Exception as error:
        raise PluginFailedError(f"{plugin} failed: {told(error)}") from error


def explain(
    deciding: Deciding, fleet: Mapping[DeviceId, HardwareProfile], models: Mapping[DeviceId, str] | None = None
) -> Explanation:
    """Divide a fleet as a coordinator would when all of it is there, and say why.

    Parameters
    ----------
    deciding
        Who decides, and within which limits.
    fleet
        The devices' hardware.
    models
        Which device model each is, where that is known.

    Raises
    ------
    ConfigurationError
        If the policy's options do not go with this fleet.
    PluginFailedError
        If a plugin raises, or answers against its contract.
    """
    offers = deciding.offers()
    grouping = deciding.grouped(fleet, offers)
    groups, warnings = [], []
    for number, devices in enumerate(grouping.groups, start=1):
        profiles = {device: fleet[device] for device in devices}
        group, tier = _group(deciding, GroupId(f"g{number}"), profiles, offers)
        groups.append(group)
        if strain := strained(tier, profiles, deciding.limits):
            warnings.append(strain_sentence(group.group, tier, strain, some_of(strain, len(devices))))
    devices_explained = _devices(deciding, fleet, models or {}, offers, grouping, groups)
    return Explanation(
        federation=deciding.federation,
        policy=deciding.policy,
        provider=deciding.provider,
        limits=deciding.limits,
        offers=tuple(
            Offer(
                tier=tier.name,
                cost=tier.cost,
                carried_by=sum(not device.verdicts[number].excesses for device in devices_explained),
            )
            for number, tier in enumerate(offers)
        ),
        groups=tuple(groups),
        unplaced=dict(grouping.unplaced),
        warnings=tuple(warnings),
        devices=devices_explained,
    )


def _group(
    deciding: Deciding, name: GroupId, profiles: Mapping[DeviceId, HardwareProfile], offers: Sequence[Tier]
) -> tuple[GroupExplained, Tier]:
    envelope = HardwareEnvelope.of(profiles.values())
    tier = deciding.chosen(envelope.detailed(profiles.values()))
    slowest = max(deciding.limits.predict(tier.cost, profile).round_s for profile in profiles.values())
    explained = GroupExplained(
        group=name,
        devices=tuple(profiles),
        envelope=envelope,
        tier=tier.name,
        round_s=slowest,
        carry_more=_carry_more(tier, offers, profiles, deciding.limits),
        reason=_tier_reason(deciding, tier, offers, profiles),
    )
    return explained, tier


def _carry_more(
    tier: Tier, offers: Sequence[Tier], profiles: Mapping[DeviceId, HardwareProfile], limits: RoundLimits
) -> int:
    names = [one.name for one in offers]
    larger = offers[names.index(tier.name) + 1 :] if tier.name in names else ()
    return sum(any(not limits.excesses(one.cost, profile) for one in larger) for profile in profiles.values())


def _tier_reason(
    deciding: Deciding, tier: Tier, offers: Sequence[Tier], profiles: Mapping[DeviceId, HardwareProfile]
) -> str:
    carried = [one for one in offers if not strained(one, profiles, deciding.limits)]
    if not carried:
        return f"the smallest, since no tier is carried by all {len(profiles):,}"
    if tier.name != carried[-1].name:
        return f"the choice of tier provider {deciding.provider}; the largest that all carry is {carried[-1].name}"
    larger = offers[offers.index(carried[-1]) + 1 :]
    if not larger:
        return "the largest on offer, and all carry it"
    strain = strained(larger[0], profiles, deciding.limits)
    device, excesses = max(strain.items(), key=lambda item: max(one.needed / one.allowed for one in item[1]))
    return (
        f"the largest that all carry; of {larger[0].name}, {len(strain):,} of {len(profiles):,} do not, such as "
        f"{device}: {' and '.join(map(str, excesses))}"
    )


def _devices(
    deciding: Deciding,
    fleet: Mapping[DeviceId, HardwareProfile],
    models: Mapping[DeviceId, str],
    offers: Sequence[Tier],
    grouping: Grouping,
    groups: Sequence[GroupExplained],
) -> tuple[DeviceExplained, ...]:
    placed = {device: group for group in groups for device in group.devices}
    return tuple(
        DeviceExplained(
            device=device,
            model=models.get(device),
            group=placed[device].group if device in placed else None,
            tier=placed[device].tier if device in placed else None,
            reason=grouping.reasons.get(device, grouping.unplaced.get(device, "")),
            profile=fleet[device].completed(),
            verdicts=tuple(_verdict(tier, fleet[device], deciding.limits) for tier in offers),
        )
        for device in sorted(fleet)
    )


def _verdict(tier: Tier, profile: HardwareProfile, limits: RoundLimits) -> Verdict:
    predicted = limits.predict(tier.cost, profile)
    return Verdict(
        tier=tier.name,
        predicted=predicted,
        round_s=predicted.round_s,
        excesses=limits.excesses(tier.cost, profile),
    )
