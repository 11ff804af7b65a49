"""Devices that carry different tiers, settled into groups of at least three.

Every device would go with the largest tier that it carries. Where fewer than three would,

- they go to the next weaker group whose tier they carry, so that they lose as little as can be;
- where there is no weaker group, others have to come down to them: from the groups above, the next one first, as many
  as are wanted and as those groups can spare, the slowest first; where they can spare too few, the whole of the next.

Devices are rows of arrays here, in the order of their ids. Nothing goes over all of them one by one.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.grouping import MINIMUM

Carried = NDArray[np.bool_]
"""Shape ``(n_devices, n_tiers)``: whether a device carries a tier; from the smallest tier to the largest."""
Rows = NDArray[np.intp]
Load = Callable[[Rows, int], NDArray[np.float64]]
_NONE: Final = -1


def largest(carried: Carried) -> Rows:
    """Return the number of the largest tier that each device carries, -1 for none."""
    tiers = carried.shape[1]
    return np.where(carried.any(axis=1), tiers - 1 - carried[:, ::-1].argmax(axis=1), _NONE)


def settle(carried: Carried, load: Load) -> dict[int, Rows]:
    """Return who goes with which tier.

    Parameters
    ----------
    carried
        What each device carries.
    load
        How hard a tier, by its number, is for the devices of some rows: of those who can come down, the ones with the
        most do.

    Returns
    -------
    dict
        By the tier's number, ascending: the rows of at least three devices, ascending, all of whom carry it, while they
        do not all carry any larger one. A device that cannot be in such a group is in none.
    """
    tiers = carried.shape[1]
    place = largest(carried)
    for tier in reversed(range(tiers)):
        if len(members := np.flatnonzero(place == tier)) < MINIMUM:
            _go_down(place, members, tier, carried)
    for tier in range(tiers):
        if 0 < np.count_nonzero(place == tier) < MINIMUM:
            _fetch_down(place, tier, carried, load)
    target = np.full(tiers + 1, _NONE)  # the last place is that of devices in no group
    for tier in range(tiers):
        members = np.flatnonzero(place == tier)
        if len(members) >= MINIMUM:
            # Where a larger tier asks less of something, those who came together may carry one of their own.
            target[tier] = int(np.flatnonzero(carried[members].all(axis=0))[-1])
    settled = target[place]
    return {int(tier): np.flatnonzero(settled == tier) for tier in np.unique(target) if tier != _NONE}


def _go_down(place: Rows, members: Rows, tier: int, carried: Carried) -> None:
    there = np.bincount(place[place != _NONE], minlength=tier + 1)[:tier] > 0
    for row in members:
        lower = np.flatnonzero(there & carried[row, :tier])
        if len(lower):
            place[row] = lower[-1]


def _fetch_down(place: Rows, tier: int, carried: Carried, load: Load) -> None:
    sizes = np.bincount(place[place != _NONE], minlength=carried.shape[1])
    wanted = MINIMUM - int(sizes[tier])
    stronger = [one for one in range(tier + 1, len(sizes)) if sizes[one] >= MINIMUM]
    moving = np.empty(0, np.intp)
    for donor in stronger:
        able = np.flatnonzero((place == donor) & carried[:, tier])
        slowest = able[np.argsort(-load(able, tier), kind="stable")]  # of equal ones, the first by id
        spare = min(int(sizes[donor]) - MINIMUM, wanted - len(moving))
        moving = np.concatenate((moving, slowest[:spare]))
    if len(moving) < wanted:
        whole = (one for one in stronger if carried[place == one, tier].all())
        donor = next(whole, _NONE)
        moving = np.flatnonzero(place == donor) if donor != _NONE else np.empty(0, np.intp)
    place[moving] = tier
