"""What a plugin can be told: its options, for people."""

from pkgutil import resolve_name
from typing import Any

import msgspec
from msgspec.structs import FieldInfo, fields

from tierwise.core.errors import PluginLoadError
from tierwise.plugins.descriptors import AnyDescriptor, PluginDescriptor
from tierwise.plugins.docstrings import attributes
from tierwise.plugins.options import allowed


class ListedOption(msgspec.Struct, frozen=True, kw_only=True):
    """An option of a plugin.

    Attributes
    ----------
    name
        As in a configuration.
    allowed
        What it can be, in words.
    default
        What it is when it is left out, as a plain value; None where that is nothing.
    meaning
        What it does, with its unit: what the options type's docstring says of it.
    """

    name: str
    allowed: str
    default: Any
    meaning: str


def listed_options(descriptor: AnyDescriptor) -> tuple[ListedOption, ...]:
    """Return a plugin's options, in the order of their definition; loads the plugin.

    Raises
    ------
    PluginLoadError
        If the options type cannot be loaded.
    """
    if not isinstance(descriptor, PluginDescriptor) or not descriptor.options:
        return ()
    try:
        return described(resolve_name(descriptor.options))
    except Exception as error:
        raise PluginLoadError(
            f"the options type {descriptor.options!r} of {descriptor.kind} {descriptor.name!r} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error


def described(kind: type[msgspec.Struct]) -> tuple[ListedOption, ...]:
    """Return the fields of an options type, or of any type that is read from a table."""
    meanings: dict[str, str] = {}
    for one in reversed(kind.__mro__):  # options that several types share are described where they are defined
        meanings |= attributes(one)
    return tuple(
        ListedOption(
            name=field.encode_name,
            allowed=allowed(field.type),
            default=_default(field),
            meaning=meanings.get(field.name, ""),
        )
        for field in fields(kind)
    )


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return None if field.default is msgspec.NODEFAULT else msgspec.to_builtins(field.default)
