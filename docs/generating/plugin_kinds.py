"""The built-in plugins by kind, from the hooks' specifications, the descriptors, and the docstrings of the classes."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

from markdown import cell, table, text, value

from tierwise.plugins import builtin, hookspecs, testing
from tierwise.plugins.describing import listed_options
from tierwise.plugins.descriptors import AggregatorDescriptor, AnyDescriptor, Kind
from tierwise.plugins.docstrings import prose, sources
from tierwise.plugins.manager import Plugins
from tierwise.runtime.config import known_keys

ROOT = Path(__file__).resolve().parent.parent.parent
MADE_BY_OTHERS = {
    Kind.PROBE: "An agent asks every probe that is installed.",
    Kind.LEARNER: "A tier names its learner, and gives it its options: see the tier providers.",
    Kind.REDUCER: "An aggregator names it; its options stand in `[aggregation.reducer]`.",
    Kind.SERVER_OPTIMIZER: "An aggregator names it; its options stand in `[aggregation.server_optimizer]`.",
}
"""Of the kinds that no key of a configuration names: who does."""


def blocks() -> dict[str, str]:
    """Return the generated blocks of the page."""
    plugins = Plugins(builtin)  # not what else may be installed here
    return {
        "kinds": table(
            ("kind", "built in", "chosen by", "contract", "hook", "check"), [_row(kind, plugins) for kind in Kind]
        ),
        "plugins": "\n\n".join(part for kind in Kind for part in _kind(kind, plugins)),
    }


def plural(kind: Kind) -> str:
    """Return a kind's title: ``Grouping policies``."""
    title = kind.value.capitalize()
    return f"{title[:-1]}ies" if title.endswith("y") else f"{title}s"


def table_of(kind: Kind) -> tuple[str, str] | None:
    """Return the table of a configuration that names a plugin of a kind, and the key that does."""
    if kind is Kind.EXCHANGE:
        return "exchange", "policy"
    if kind is Kind.CODEC:
        return "codec", "name"
    last = kind.value.split()[-1]
    return next(((name, keys[0]) for name, keys in known_keys().items() if keys[0] == last), None)


def hook_of(kind: Kind) -> str:
    """Return the name of a kind's hook."""
    return next(hook for hook, of in hookspecs.HOOKS.items() if of is kind)


def contract_of(kind: Kind) -> str:
    """Return where the contract is that a kind's hook points to: ``tierwise.core.hardware.Probe``."""
    said = prose(getattr(hookspecs, hook_of(kind)))
    found = re.search(r"`(tierwise\.[\w.]+)`", said)
    return found[1] if found else ""


def check_of(kind: Kind) -> str:
    """Return the name of a kind's conformance check, empty for one that has none."""
    name = f"check_{kind.value.replace(' ', '_')}"
    return name if name in testing.__all__ else ""


def _row(kind: Kind, plugins: Plugins) -> tuple[str, ...]:
    chosen, contract = table_of(kind), contract_of(kind)
    return (
        f"[{kind.value}](#{anchor(kind)})",
        ", ".join(f"`{one.name}`" for one in plugins.descriptors(kind)) or "–",
        f"`{chosen[0]}.{chosen[1]}`" if chosen else "–",
        f"[`{contract.rpartition('.')[2]}`]({_source(contract)})" if contract else "`AggregatorDescriptor`",
        f"`{hook_of(kind)}`",
        f"`{check_of(kind)}`" if check_of(kind) else "–",
    )


def _source(contract: str) -> str:
    """Return the way to a contract's module from the page."""
    file = Path(inspect.getfile(resolve_name(contract))).resolve()
    return f"../../{file.relative_to(ROOT).as_posix()}"


def _kind(kind: Kind, plugins: Plugins) -> Iterator[str]:
    yield f"## {plural(kind)}"
    yield _what_for(kind)
    for descriptor in plugins.descriptors(kind):
        yield f"### `{descriptor.name}`"
        yield from _plugin(descriptor)


def chosen_by(kind: Kind) -> str:
    """Tell in a sentence how a configuration chooses a plugin of a kind, and where its options stand."""
    named = table_of(kind)
    if named is None:
        return MADE_BY_OTHERS.get(kind, "")
    table, key = named
    parts = [f"`[{table}.{part}]`" for part in known_keys()[table][1:]]
    options = f"the options of its parts stand in {' and '.join(parts)}" if parts else "the other keys are its options"
    return f"In the table `[{table}]` the key `{key}` names one; {options}."


def _what_for(kind: Kind) -> str:
    said = prose(getattr(hookspecs, hook_of(kind)))
    purpose = re.sub(r"^Announce [\w ]+, (which )?|: `[\w.]+`\.$", "", said)
    sentences = [f"{purpose[0].upper()}{purpose[1:]}.", chosen_by(kind)]
    contract = contract_of(kind)
    if contract:
        module, _, name = contract.rpartition(".")
        sentences.append(f"The contract is the protocol [`{name}`]({_source(contract)}) of `{module}`.")
    if check_of(kind):
        sentences.append(f"`tierwise.plugins.testing.{check_of(kind)}` holds a plugin to it.")
    return "\n".join(sentence for sentence in sentences if sentence)


def _plugin(descriptor: AnyDescriptor) -> Iterator[str]:
    yield text(descriptor.summary)
    if isinstance(descriptor, AggregatorDescriptor):
        yield (
            f"Its reducer is [`{descriptor.reducer}`](#{anchor(Kind.REDUCER)}), its server optimizer "
            f"[`{descriptor.server_optimizer}`](#{anchor(Kind.SERVER_OPTIMIZER)})."
        )
        return
    made = resolve_name(descriptor.target)
    yield from (text(said) for said in (prose(made), sources(made)) if said)
    options = listed_options(descriptor)
    for one in options:
        if not one.meaning:
            raise SystemExit(f"option {one.name!r} of {descriptor.kind} {descriptor.name!r} is not in its docstring")
    rows = [(f"`{one.name}`", one.allowed, value(one.default), cell(one.meaning)) for one in options]
    yield table(("option", "allowed", "default", "what it is"), rows) if rows else "It has no options."


def anchor(kind: Kind) -> str:
    """Return the page's anchor of a kind."""
    return plural(kind).lower().replace(" ", "-")
