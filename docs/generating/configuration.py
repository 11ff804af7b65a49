"""The tables of a configuration file: those of a run from their types, those of a plugin from its kind."""

import re
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import get_type_hints

import msgspec
from markdown import cell, table, text, value
from plugin_kinds import anchor, chosen_by, table_of

from tierwise.core import settings
from tierwise.plugins.describing import described
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.docstrings import prose
from tierwise.runtime.config import RunConfig, known_keys

OWN_DATA = {
    "exchange.public": (
        "In `[exchange.public]` the key `source` names the [data source](plugins.md#data-sources) of the public set: "
        "unlabelled samples that the coordinator holds, for policies that need some. The other keys are the source's "
        "options, what they leave out of the task is as in `[data]`, and all its samples are taken, which need no "
        'labels. Left out, or with `source = "reserved"`, it is what `[data]` sets apart. The default policy, '
        '`"none"`, '
        "is no exchange: each group learns alone."
    ),
    "evaluation": (
        "Labelled samples of the coordinator's own, on which it measures each group's model after each round; left "
        "out, it measures nothing. The key `source` names their [data source](plugins.md#data-sources), the other "
        "keys are its options, what they leave out of the task is as in `[data]`, and all its samples are taken; "
        '`source = "reserved"` is what `[data]` sets apart.'
    ),
}
"""What is said of tables that name a data source."""


def blocks() -> dict[str, str]:
    """Return the generated blocks of the page."""
    return {"tables": "\n\n".join(part for name in known_keys() for part in _table(name))}


def _table(name: str) -> Iterator[str]:
    yield f"## `[{name}]`"
    kind = get_type_hints(RunConfig).get(name)
    if isinstance(kind, type) and kind.__name__.endswith("Table"):
        yield text(_purpose(kind))
        yield table(("key", "allowed", "default", "what it is"), _rows(kind, f"[{name}]"))
    elif name in OWN_DATA:
        yield OWN_DATA[name]
    else:
        yield _of_plugin(name)
        if f"{name}.public" in OWN_DATA:
            yield OWN_DATA[f"{name}.public"]


def _purpose(kind: type) -> str:
    """Return a docstring's first paragraph, without the table's name; the rest is for who reads the code."""
    said = re.sub(r"^The table ``\[\w+\]``\W+", "", prose(kind).partition("\n\n")[0])
    return said[0].upper() + said[1:]


def _rows(kind: type[msgspec.Struct], where: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key; what the type itself does not explain, the settings do that its docstring names."""
    followed = {one.name: one for named in _named(kind) for one in described(named)}
    for one in described(kind):
        known = one if one.meaning or one.name not in followed else followed[one.name]
        if not known.meaning:
            raise SystemExit(f"{where} {one.name} is not explained in the docstring of {kind.__name__}")
        default = known.default if one.default is None else one.default
        yield (f"`{one.name}`", one.allowed, value(default), cell(known.meaning))


def _named(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Yield the types that a docstring points to: by their path, or a name of the federation's settings."""
    for name in re.findall(r"(?<!`)`([\w.]+)`", prose(kind)):
        found = resolve_name(name) if "." in name else getattr(settings, name, None)
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            yield found


def _of_plugin(name: str) -> str:
    key = known_keys()[name][0]
    kind = next(kind for kind in Kind if table_of(kind) == (name, key))
    article = "An" if kind.value[0] in "aeiou" else "A"
    return f"{article} [{kind.value}](plugins.md#{anchor(kind)}), by default `{_default(name)}`. {chosen_by(kind)}"


def _default(name: str) -> str:
    config = RunConfig()
    chosen = config.data if name == "data" else getattr(config.policies, name)
    return f'"{chosen.name}"'
