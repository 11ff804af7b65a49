"""Devices that carry different tiers, settled into groups of at least three.

Every device would go with the largest tier that it carries. Where fewer than three would,

- they go to the next weaker group whose tier they carry, so that they lose as little as can be;
- where there is no weaker group, others have to come down to them: from the groups above, the next one first, as many
  as are wanted and as those groups can spare, the slowest first; where they can spare too few, the whole of the next.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tierwise.core.grouping import MINIMUM
from tierwise.core.ids import DeviceId

Carried = Mapping[DeviceId, tuple[int, ...]]
"""The numbers of the tiers that each device carries, ascending; without those that carry none."""
_Groups = dict[int, list[DeviceId]]
_NONE: Final = -1


def settle(carried: Carried, load: Callable[[DeviceId, int], float]) -> dict[int, tuple[DeviceId, ...]]:
    """Return who goes with which tier.

    Parameters
    ----------
    carried
        What each device carries.
    load
        How hard a tier, by its number, is for a device: of those who can come down, the ones with the most do.

    Returns
    -------
    dict
        By the tier's number, ascending: at least three devices, sorted by id, all of whom carry it, while they do not
        all carry any larger one. A device that cannot be in such a group is in none.
    """
    groups: _Groups = {}
    for device, tiers in carried.items():
        groups.setdefault(tiers[-1], []).append(device)
    for tier in sorted(groups, reverse=True):
        if len(groups[tier]) < MINIMUM:
            _go_down(groups, tier, carried)
    for tier in sorted(groups):
        if 0 < len(groups[tier]) < MINIMUM:
            _fetch_down(groups, tier, carried, load)
    settled: _Groups = {}
    for devices in groups.values():
        if len(devices) >= MINIMUM:
            # Where a larger tier asks less of something, those who came together may carry one of their own.
            common = set.intersection(*(set(carried[device]) for device in devices))
            settled.setdefault(max(common), []).extend(devices)
    return {tier: tuple(sorted(settled[tier])) for tier in sorted(settled)}


def _go_down(groups: _Groups, tier: int, carried: Carried) -> None:
    weaker = [one for one, devices in groups.items() if devices and one < tier]
    staying: list[DeviceId] = []
    for device in groups[tier]:
        target = max((one for one in weaker if one in carried[device]), default=_NONE)
        (staying if target == _NONE else groups[target]).append(device)
    groups[tier] = staying


def _fetch_down(groups: _Groups, tier: int, carried: Carried, load: Callable[[DeviceId, int], float]) -> None:
    wanted = MINIMUM - len(groups[tier])
    stronger = sorted(one for one, devices in groups.items() if one > tier and len(devices) >= MINIMUM)
    moving: list[tuple[int, DeviceId]] = []
    for donor in stronger:
        able = sorted((d for d in groups[donor] if tier in carried[d]), key=lambda d: (-load(d, tier), d))
        spare = min(len(groups[donor]) - MINIMUM, wanted - len(moving))
        moving += [(donor, device) for device in able[:spare]]
    if len(moving) < wanted:
        whole = (one for one in stronger if all(tier in carried[device] for device in groups[one]))
        donor = next(whole, _NONE)
        moving = [(donor, device) for device in groups.get(donor, ())]
    for donor, device in moving:
        groups[donor].remove(device)
        groups[tier].append(device)
