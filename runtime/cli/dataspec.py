"""The data of one device, as the command line names it: ``digits:part=3,parts=9,seed=0,alpha=0.3``."""

import re
import tomllib
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import fields

from tierwise.core.errors import ConfigurationError, UnknownPluginError, nearest
from tierwise.core.learning import DataSource, LocalData
from tierwise.plugins.descriptors import Kind, PluginDescriptor
from tierwise.plugins.manager import Plugins
from tierwise.plugins.options import read_options

FORM: Final = "SOURCE[:KEY=VALUE,...]"
_NEXT: Final = re.compile(r",(?=\s*[A-Za-z_][A-Za-z0-9_]*\s*=)")
"""A comma before the next key; others are within a value."""


class Share(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which share of a data source is this device's: number ``part`` of ``parts``, by default all.

    Attributes
    ----------
    part, parts
        For trials, in which several devices share one source.
    seed
        Of the division into parts, and of that into training and hold-out.
    """

    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    parts: Annotated[int, msgspec.Meta(ge=1)] = 1
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class DataSpec:
    """A data source, made, and this device's share of it."""

    text: str
    source: DataSource
    share: Share

    def load(self) -> LocalData:
        """Read the data.

        Raises
        ------
        ConfigurationError
            If the source cannot give this share.
        """
        try:
            return self.source.load(self.share.part, self.share.parts, self.share.seed)
        except ConfigurationError as error:
            raise ConfigurationError(str(error), source=f"--data {self.text}") from error


def read_data_spec(text: str, plugins: Plugins) -> DataSpec:
    """Read a specification and make its source.

    Raises
    ------
    ConfigurationError
        If a part of it cannot be; names the key, the value, what is allowed and the nearest spelling.
    """
    try:
        name, _, rest = text.partition(":")
        values = _values(rest)
        _check_keys(name, values, plugins)
        shared = {key: value for key, value in values.items() if key in Share.__struct_fields__}
        options = {key: value for key, value in values.items() if key not in shared}
        share = _checked(read_options(shared, Share, subject="the share of the data"))
        return DataSpec(text, plugins.data_source(name, options), share)
    except (UnknownPluginError, ConfigurationError) as error:
        raise ConfigurationError(str(error), source=f"--data {text}") from error


def _check_keys(name: str, values: dict[str, Any], plugins: Plugins) -> None:
    known = (*Share.__struct_fields__, *_options(name, plugins))
    for key, value in values.items():
        if key not in known:
            raise ConfigurationError(
                f"there is no key {key!r}{nearest(key, known)}, which is set to {value!r}; the keys: {', '.join(known)}"
            )


def _checked(share: Share) -> Share:
    if share.part >= share.parts:
        raise ConfigurationError(
            f"is {share.part}, with parts={share.parts} it is from 0 to {share.parts - 1}", key="part"
        )
    return share


def _values(rest: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in _NEXT.split(rest) if rest.strip() else ():
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key or not value:
            raise ConfigurationError(f"{pair!r} is not KEY=VALUE: it has the form {FORM}")
        if key in values:
            raise ConfigurationError(f"{key} is set twice")
        values[key] = _value(value)
    return values


def _value(text: str) -> Any:
    """Return a number, a truth value or a list as in TOML; anything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _options(name: str, plugins: Plugins) -> tuple[str, ...]:
    """Return the names of a source's own options."""
    known = {one.name: one for one in plugins.descriptors(Kind.DATA_SOURCE)}
    descriptor = known.get(name)
    if descriptor is None:
        raise UnknownPluginError(str(Kind.DATA_SOURCE), name, known)
    if not isinstance(descriptor, PluginDescriptor) or not descriptor.options:
        return ()
    return tuple(option.encode_name for option in fields(resolve_name(descriptor.options)))
