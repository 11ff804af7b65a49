"""Names of things, each of its own type so that the type checker keeps them apart."""

import re
from typing import Final, NewType

DeviceId = NewType("DeviceId", str)
GroupId = NewType("GroupId", str)
"""``g1``, ``g2``, …: counted up over a federation's life and never reused; not a tier's name."""
CohortId = NewType("CohortId", str)
"""``<group>.r<round>``: the devices whose updates are summed together in that round."""
RoundNumber = NewType("RoundNumber", int)
"""Counts the rounds that a group has opened, from 1; an abandoned round keeps its number."""
ModelVersion = NewType("ModelVersion", int)
"""Counts the models that a group has had: 0 is the tier's initial model, each closed round adds 1."""
TierName = NewType("TierName", str)
BlobHash = NewType("BlobHash", str)
"""Lower-case hexadecimal sha256 of a blob's bytes: its address in the store, a model's identity.

An update that never left a simulation's memory has one of what it was made from: `tierwise.core.work.origin_name`.
"""

_DIGITS: Final = 18
"""More than any round has: a longer number is somebody's mistake."""
_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_device_id(text: str) -> bool:
    """Tell whether ``text`` can name a device: 1 to 64 of ``A-Z a-z 0-9 . _ -``, the first a letter or digit.

    The set is small because the name becomes a part of topics, file names and log lines.
    """
    return _DEVICE_ID.fullmatch(text) is not None


def cohort_id(group: GroupId, round_number: RoundNumber) -> CohortId:
    """Name the cohort of a group's round."""
    return CohortId(f"{group}.r{round_number}")


def round_number(cohort: CohortId) -> RoundNumber:
    """Return the number of the round that a cohort is of; 0 for what is no cohort's name."""
    number = cohort.rpartition(".r")[2]
    return RoundNumber(int(number) if number.isascii() and number.isdecimal() and len(number) < _DIGITS else 0)
