"""Reads a plugin's options from plain values; every fault names the key, the value and what is allowed."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo, fields

from tierwise.core.errors import ConfigurationError, nearest

Options = TypeVar("Options", bound=msgspec.Struct)
_WORDS: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "true or false",
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.StrType: "a text",
    inspect.NoneType: "nothing",
    inspect.AnyType: "anything",
    inspect.StructType: "a table",
}


def read_options(
    values: Mapping[str, object], kind: type[Options], *, subject: str, where: str = "", named_by: str = ""
) -> Options:
    """Convert plain values to a plugin's options type.

    Parameters
    ----------
    values
        By option name, the way they stand in a TOML file.
    kind
        The options type.
    subject
        Whose options they are, for messages: ``"grouping policy 'quantile'"``.
    where
        The dotted key of the table that they stand in; a fault's key begins with it.
    named_by
        The key beside them in that table which names the plugin, and may be what a misspelt option was meant to be.

    Raises
    ------
    ConfigurationError
        If a name is unknown, a value is not of its type or out of its bounds, a required one is missing, or
        the type refuses the values together.
    """
    known = {field.encode_name: field for field in fields(kind)}
    for name, value in values.items():
        if name not in known:
            beside = [named_by] if named_by else []
            raise ConfigurationError(
                f"{subject} has no option {name!r}{nearest(name, [*known, *beside])}, which is set to {value!r}; "
                f"its options: {', '.join(sorted(known)) or 'none'}{f'; {named_by!r} names it' if named_by else ''}",
                key=_join(where, name),
            )
        _check(name, value, known[name], subject, where)
    for name, field in known.items():
        if field.required and name not in values:
            raise ConfigurationError(
                f"{subject} needs the option {name!r}: {allowed(field.type)}", key=_join(where, name)
            )
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:  # from the type's __post_init__: the values do not go together
        raise ConfigurationError(f"{subject} does not accept {dict(values)!r}: {error}", key=where) from error


def _check(name: str, value: object, field: FieldInfo, subject: str, where: str) -> None:
    try:
        msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        hint = nearest(value, _choices(inspect.type_info(field.type))) if isinstance(value, str) else ""
        # Only within a list or a table does msgspec know more than the description says: the place.
        within = f" ({error})" if isinstance(value, list | tuple | dict) else ""
        if isinstance(value, list) and _fits(nested := [[item] for item in value], field):
            within += f": write {nested}"
        raise ConfigurationError(
            f"option {name!r} of {subject} is {value!r}{hint}, allowed is {allowed(field.type)}{within}",
            key=_join(where, name),
        ) from error


def _fits(value: object, field: FieldInfo) -> bool:
    try:
        msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        return False
    return True


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def allowed(kind: Any) -> str:
    """Describe the values of a type for people: ``an integer of at least 1``."""
    return _describe(inspect.type_info(kind))


def _describe(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _describe(kind.type)
        case inspect.IntType() | inspect.FloatType():
            return _WORDS[type(kind)] + _bounds(kind)
        case inspect.StrType(min_length=1, max_length=1):
            return "one character"
        case inspect.LiteralType() | inspect.EnumType():
            return "one of " + ", ".join(repr(choice) for choice in _choices(kind))
        case inspect.UnionType():
            return " or ".join(_describe(member) for member in kind.types if not _is_none(member))
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return "a list, each item " + _describe(kind.item_type)
        case inspect.DictType():
            return "a table, each value " + _describe(kind.value_type)
        case _:
            return _WORDS.get(type(kind)) or f"a {type(kind).__name__.removesuffix('Type').lower()}"


def _is_none(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.NoneType)


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    bounds = {
        "of at least": kind.ge,
        "greater than": kind.gt,
        "of at most": kind.le,
        "less than": kind.lt,
    }
    parts = [f"{words} {_number(bound)}" for words, bound in bounds.items() if bound is not None]
    return f" {' and '.join(parts)}" if parts else ""


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"  # 2**63 - 1 must not become 9.22337e+18


def _choices(kind: inspect.Type) -> list[str]:
    match kind:
        case inspect.Metadata():
            return _choices(kind.type)
        case inspect.LiteralType():
            return [str(value) for value in kind.values]
        case inspect.EnumType():
            return [str(member.value) for member in kind.cls]
        case inspect.UnionType():
            return [choice for member in kind.types for choice in _choices(member)]
        case _:
            return []
