"""Where on the broker what is said.

::

    PREFIX/FEDERATION/up/DEVICE/ctl         a device's signed messages
    PREFIX/FEDERATION/up/DEVICE/chunk       pieces of what it uploads
    PREFIX/FEDERATION/up/DEVICE/presence    whether it is there; retained, and its last will
    PREFIX/FEDERATION/down/DEVICE           the coordinator's signed messages to one device
    PREFIX/FEDERATION/group/GROUP/model     the signed manifest of a group's model; retained
    PREFIX/FEDERATION/group/GROUP/chunk     pieces of that model
    PREFIX/FEDERATION/coordinator           whether the coordinator is there; retained

A device may read ``down/`` of itself, ``group/+/+`` and ``coordinator``, and write only below ``up/`` of itself. It may
read every group's topics, so that moving it to another group asks nothing of the broker. The coordinator reads ``up/#``
and writes the rest.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId, GroupId, is_device_id

PREFIX: Final = "tierwise"
"""The default; names the application on a broker that others use too."""
PREFIX_LEVELS: Final = 4
"""A topic has four slashes besides the prefix's own, and seven are allowed in all (AWS IoT Core's quota)."""
PREFIX_LIMIT: Final = 100
"""Characters; with names of at most 64, a topic then stays below AWS IoT Core's 256 bytes."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_ALLOWED: Final = "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"


class Channel(Enum):
    """What a topic is for; the value is its tail, in which ``*`` stands for a device or group."""

    CTL = "up/*/ctl"
    CHUNK = "up/*/chunk"
    PRESENCE = "up/*/presence"
    DOWN = "down/*"
    MODEL = "group/*/model"
    GROUP_CHUNK = "group/*/chunk"
    COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class Place:
    """What a topic is for, and the device or group that it belongs to (empty for the coordinator's own)."""

    channel: Channel
    name: str


_BY_TAIL: Final = {channel.value: channel for channel in Channel}


class Topics:
    """The topics of one federation.

    Parameters
    ----------
    prefix
        Up to four levels, each of ``A-Z a-z 0-9 . _ -``, the first character a letter or digit; no slash at its ends.
    federation
        A name like a device's.

    Raises
    ------
    ConfigurationError
        If a part could not be in a topic. The methods raise it likewise, for names of devices and groups.
    """

    def __init__(self, prefix: str, federation: str) -> None:
        levels = prefix.count("/") + 1
        if _PREFIX.fullmatch(prefix) is None or levels > PREFIX_LEVELS or len(prefix) > PREFIX_LIMIT:
            raise ConfigurationError(
                f"the topic prefix {prefix!r} cannot be: it has 1 to {PREFIX_LEVELS} levels of A-Z a-z 0-9 . _ -, each "
                f"beginning with a letter or digit, separated by /, and at most {PREFIX_LIMIT} characters"
            )
        self.prefix = prefix
        self.federation = _checked(federation, "federation")
        self._root = f"{prefix}/{federation}/"

    def __repr__(self) -> str:
        return f"Topics({self.prefix!r}, {self.federation!r})"

    # -- from a device

    def ctl(self, device: DeviceId) -> str:
        """Return where a device sends its signed messages."""
        return self._of(Channel.CTL, device)

    def chunk(self, device: DeviceId) -> str:
        """Return where a device sends the pieces of an upload."""
        return self._of(Channel.CHUNK, device)

    def presence(self, device: DeviceId) -> str:
        """Return where a device says, retained, whether it is there."""
        return self._of(Channel.PRESENCE, device)

    # -- from the coordinator

    def down(self, device: DeviceId) -> str:
        """Return where the coordinator speaks to one device."""
        return self._of(Channel.DOWN, device)

    def model(self, group: GroupId) -> str:
        """Return where the manifest of a group's model is retained."""
        return self._of(Channel.MODEL, group)

    def group_chunk(self, group: GroupId) -> str:
        """Return where the pieces of a group's model are published."""
        return self._of(Channel.GROUP_CHUNK, group)

    @property
    def coordinator(self) -> str:
        """Where the coordinator says, retained, whether it is there."""
        return self._root + Channel.COORDINATOR.value

    # -- filters

    @property
    def all_up(self) -> str:
        """The filter of all that devices say; the coordinator's only subscription."""
        return f"{self._root}up/#"

    @property
    def all_down(self) -> str:
        """The filter of what is said to single devices; the coordinator may write there."""
        return f"{self._root}down/+"

    @property
    def all_groups(self) -> str:
        """The filter of what is said to groups; every device may read it."""
        return f"{self._root}group/+/+"

    def own(self, device: DeviceId) -> str:
        """Return the filter of all that a device may write."""
        return f"{self._root}up/{_checked(device, 'device')}/#"

    # -- back

    def place(self, topic: str) -> Place | None:
        """Tell what a topic is for; None for one that is none of this federation's."""
        if not topic.startswith(self._root):
            return None
        parts = topic[len(self._root) :].split("/")
        name = ""
        if len(parts) > 1:
            name, parts[1] = parts[1], "*"
            if not is_device_id(name):
                return None
        channel = _BY_TAIL.get("/".join(parts))
        return None if channel is None else Place(channel, name)

    def _of(self, channel: Channel, name: str) -> str:
        what = "group" if channel in (Channel.MODEL, Channel.GROUP_CHUNK) else "device"
        return self._root + channel.value.replace("*", _checked(name, what))


def _checked(name: str, what: str) -> str:
    """Return a name that can be one level of a topic; a wildcard or slash in it would reach other topics."""
    if not is_device_id(name):
        raise ConfigurationError(f"the {what} {name!r} cannot be in a topic: a name has {_ALLOWED}")
    return name
