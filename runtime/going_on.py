"""Going on with a store's federation: whether what was chosen is what it was opened with."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from tierwise.core.errors import ConfigurationError
from tierwise.core.events import PluginUsed
from tierwise.core.exchange import NO_EXCHANGE
from tierwise.core.settings import FederationSettings
from tierwise.core.state import FederationState
from tierwise.core.tiers import CodecChoice, OptionValues
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.plugins.parts import KEYS
from tierwise.runtime.policies import Choice, Policies, plain_options

MAY_CHANGE: Final = ("stop.", "selection.", "aggregation.server_optimizer.")
"""What may be changed where that is allowed: it is about rounds to come, and leaves what was learned as it is."""
CODEC_KEY: Final = KEYS[Kind.CODEC]
"""Under which key the table of the codec names it."""
_NAMES: Final = frozenset({*KEYS.values(), "aggregator"} - {CODEC_KEY})
"""Keys under which tables name a plugin beside its options; that of a codec means something else in other tables."""
_OF_FEDERATION: Final = ("name", "seed")
"""Settings that stand in the table [federation]; the other ones are tables of their own."""
_SHOWN: Final = 100
"""Characters of a value, in a message."""


class Chosen(NamedTuple):
    """What a coordinator was given; ``policies`` as `lay_out` returns them."""

    settings: FederationSettings
    policies: OptionValues
    plugins: Sequence[PluginUsed]


def lay_out(policies: Policies, plugins: Plugins) -> OptionValues:
    """Return policies as the tables of a configuration; options that were left out have their defaults."""
    options = partial(plain_options, plugins)

    def table(kind: Kind, choice: Choice, key: str) -> OptionValues:
        return {key: choice.name, **options(kind, choice.name, choice.options)}

    aggregation, exchange = policies.aggregation, policies.exchange
    aggregator = plugins.aggregator(aggregation.name)
    alone = exchange.name == NO_EXCHANGE
    return {
        "grouping": table(Kind.GROUPING_POLICY, policies.grouping, KEYS[Kind.GROUPING_POLICY]),
        "tiers": table(Kind.TIER_PROVIDER, policies.tiers, KEYS[Kind.TIER_PROVIDER]),
        "selection": table(Kind.SELECTOR, policies.selection, KEYS[Kind.SELECTOR]),
        "aggregation": {
            "aggregator": aggregation.name,
            "reducer": options(Kind.REDUCER, aggregator.reducer, aggregation.reducer),
            "server_optimizer": options(
                Kind.SERVER_OPTIMIZER, aggregator.server_optimizer, aggregation.server_optimizer
            ),
        },
        "exchange": {"policy": NO_EXCHANGE} if alone else table(Kind.EXCHANGE, exchange, "policy"),
        "codec": table(Kind.CODEC, policies.codec, CODEC_KEY),
        "stop": table(Kind.STOP_RULE, policies.stop, KEYS[Kind.STOP_RULE]),
    }


class Difference(NamedTuple):
    """A key whose value is not what it was."""

    key: str
    before: object
    now: object

    def __str__(self) -> str:
        now, before = (_shown(value) for value in (self.now, self.before))
        return f"{self.key} is {now}, the store's federation was opened with {before}"

    @property
    def harmless(self) -> bool:
        """Whether it may be allowed."""
        return self.key.startswith(MAY_CHANGE)


def compare(state: FederationState, now: Chosen, may_change: Collection[str]) -> bool:
    """Compare what a store's federation has with what a coordinator was given.

    Parameters
    ----------
    state
        As the store's log leaves it.
    now
        What was given.
    may_change
        Keys that may differ, and tables of which any key may: ``stop.rounds``, ``stop``.

    Returns
    -------
    bool
        Whether something differs that may.

    Raises
    ------
    ConfigurationError
        If anything else differs; names each key with both values. Or if a key of `may_change` may never differ.
    """
    _check_allowance(may_change)
    found = [*_of_settings(state.opened, now.settings), *_of_policies(state, now)]
    refused = [one for one in found if not (one.harmless and _allowed(one.key, may_change))]
    if refused:
        error = ConfigurationError("\n".join(_told(one) for one in refused))
        error.key = refused[0].key
        raise error
    return bool(found)


def _check_allowance(may_change: Collection[str]) -> None:
    for key in may_change:
        if not any(f"{key}.".startswith(table) or table.startswith(f"{key}.") for table in MAY_CHANGE):
            tables = ", ".join(table.removesuffix(".") for table in MAY_CHANGE)
            raise ConfigurationError(
                f"{key} cannot be allowed to change (--allow-change): only {tables} and what is in them may; give a "
                "federation with something else a store of its own"
            )


def _told(difference: Difference) -> str:
    remedy = "go on with that, or give the new federation a store of its own"
    if difference.harmless:
        return f"{difference}: {remedy}, or allow this change (--allow-change {difference.key})"
    return f"{difference}: {remedy}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _allowed(key: str, may_change: Collection[str]) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in may_change)


def _of_settings(before: FederationSettings, now: FederationSettings) -> Iterator[Difference]:
    old, new = ({**msgspec.to_builtins(one)} for one in (before, now))
    for name in _OF_FEDERATION:
        yield from _differences(old.pop(name), new.pop(name), f"federation.{name}")
    yield from _differences(old, new, "")


def _of_policies(state: FederationState, chosen: Chosen) -> Iterator[Difference]:
    uncoded = CodecChoice().name  # as were all updates when there were no codecs
    if state.policies is not None:
        yield from _differences({"codec": {CODEC_KEY: uncoded}, **state.policies}, chosen.policies, "")
        return
    # A log that was begun before options were in it: only names can be compared.
    none = {(str(Kind.CODEC), uncoded)}
    before, now = ({(one.kind, one.name) for one in used} - none for used in (state.plugins, chosen.plugins))
    if before != now:
        yield Difference("plugins", sorted(before - now), sorted(now - before))


def _names_plugin(name: str, key: str) -> bool:
    return name in _NAMES or (key, name) == ("codec", CODEC_KEY)


def _differences(before: Any, now: Any, key: str) -> Iterator[Difference]:
    """Compare plain values; what one of two tables lacks, an option of another version, is not compared."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = [name for name in before if name in now]
        another = [name for name in names if _names_plugin(name, key) and before[name] != now[name]]
        for name in another or names:  # the options of another plugin are other options
            yield from _differences(before[name], now[name], f"{key}.{name}" if key else name)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _differences(one, other, f"{key}.{number}")
    elif before != now:
        yield Difference(key, before, now)
