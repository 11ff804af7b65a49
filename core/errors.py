"""Every exception that tierwise raises, as a tree.

::

    TierwiseError
    ├── ConfigurationError        what the caller asked for cannot be: names the key, the value, what is allowed
    │   └── NeverStopsError       a stop rule that cannot end a group, as it turns out while the group learns
    ├── PluginError               a plugin is broken, missing or clashes: names plugin, distribution and remedy
    │   ├── PluginLoadError       its module cannot be imported, or its hook has a wrong signature
    │   ├── PluginClashError      two distributions offer one name
    │   ├── UnknownPluginError    no plugin has that name
    │   └── PluginFailedError     it raised, or answered against its contract, while it worked
    ├── FederationError           the federation cannot go on
    │   ├── TooFewDevicesError    fewer than three devices
    │   └── FederationFailedError it ended without a target model: says why
    ├── StoreError                the log or a blob cannot be written or read
    │   └── BlobMissingError      a blob that the log names is not there
    ├── TransportError            a broker cannot be reached or refuses us: names it, the reason, the way out
    ├── LayoutError               weights do not have the layout that they should have
    └── DeviceError               a device's mistake, not ours: it never stops a round
        ├── ProtocolError         bytes that are no message of this protocol
        │   └── OtherVersionError a message of a version of the protocol that we do not speak
        └── MalformedUpdateError  an update that cannot count: wrong layout, size, or values that are not finite

A text names the thing, the value, and the way out.
"""

from collections.abc import Iterable
from typing import Self


class TierwiseError(Exception):
    """The base of all that tierwise raises on purpose."""


class ConfigurationError(TierwiseError):
    """What the caller asked for cannot be.

    Parameters
    ----------
    message
        What is wrong, with the value.
    key
        The dotted key, as it stands in the TOML file (``rounds.deadline_s``); empty when no key is at fault.
    source
        The file that the key stands in; empty for a configuration made in code.
    """

    def __init__(self, message: str, *, key: str = "", source: str = "") -> None:
        self.message = message
        self.key = key
        self.source = source
        where = ": ".join(part for part in (source, key) if part)
        super().__init__(f"{where}: {message}" if where else message)

    def below(self, table: str) -> Self:
        """Return the same error with its key in a table: ``metric`` below ``stop`` is ``stop.metric``."""
        return type(self)(self.message, key=f"{table}.{self.key}" if self.key else table, source=self.source)


class NeverStopsError(ConfigurationError):
    """A stop rule that cannot end a group, as it turns out while the group learns."""


class PluginError(TierwiseError):
    """A plugin is broken, missing or clashes with another."""


class PluginLoadError(PluginError):
    """A plugin's module or class cannot be imported, or a hook of it has a wrong signature."""


class PluginClashError(PluginError):
    """Two distributions offer a plugin of the same kind and name."""


class UnknownPluginError(PluginError):
    """No plugin of that kind has that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        names = sorted(known)
        super().__init__(
            f"there is no {kind} named {name!r}{nearest(name, names)}; "
            f"installed: {', '.join(names) or 'none'}. "
            f"`tierwise plugins` lists them all; a policy pack that brings {name!r} is installed with pip, a file "
            "of your own is named in the TOML file, `[plugins] modules`, or by the option `--plugins FILE` of a "
            "command that has it."
        )


class PluginFailedError(PluginError):
    """A plugin raised, or answered against its contract, while it worked."""


class FederationError(TierwiseError):
    """The federation cannot go on."""


class TooFewDevicesError(FederationError):
    """Fewer than three devices: no group can be formed."""

    def __init__(self, found: int, minimum: int = 3) -> None:
        self.found = found
        super().__init__(
            f"{found} device{'' if found == 1 else 's'} reported hardware, a federation needs at least {minimum}: "
            "with fewer, an average would show a single device's update. Start more agents, or lengthen "
            "enrolment.window_s."
        )


class FederationFailedError(FederationError):
    """The federation ended without a target model."""


class StoreError(TierwiseError):
    """The log or a blob cannot be written or read."""


class BlobMissingError(StoreError):
    """A blob that the log names is not in the store."""

    def __init__(self, blob: str) -> None:
        self.blob = blob
        super().__init__(f"blob {blob} is not in the store: it was deleted, or the store is not the run's own")


class TransportError(TierwiseError):
    """The network's broker cannot be reached, or does not let us in."""


class LayoutError(TierwiseError):
    """Weights do not have the layout that they should have."""


class DeviceError(TierwiseError):
    """A device's mistake, not ours; it never stops a round."""


class ProtocolError(DeviceError):
    """Bytes that are no message of this protocol, or one of another version."""


class OtherVersionError(ProtocolError):
    """A message of a version of the protocol that we do not speak."""

    def __init__(self, version: int, ours: tuple[int, int]) -> None:
        self.version = version
        super().__init__(
            f"the sender speaks protocol version {version}, this tierwise speaks {told_versions(ours)}: "
            "upgrade the older one of the two"
        )


def told_versions(versions: tuple[int, int]) -> str:
    """Return a range of versions for people: ``1``, or ``1 to 3``."""
    oldest, newest = versions
    return str(newest) if oldest == newest else f"{oldest} to {newest}"


class MalformedUpdateError(DeviceError):
    """An update that cannot count."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name closest to ``name``, or an empty text."""
    import difflib  # only who has made a mistake waits for it

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
