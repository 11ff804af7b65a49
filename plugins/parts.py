"""What a plugin that consists of other plugins makes them with.

A stop rule that holds when any of several does, or a ladder of learners: their options name other plugins. A plugin
whose descriptor says ``composed`` is made with a `Parts`, and makes by it what it consists of.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tierwise.core.errors import ConfigurationError, UnknownPluginError
from tierwise.core.grouping import GroupingPolicy
from tierwise.core.learning import Learner
from tierwise.core.selection import Selector
from tierwise.core.stopping import StopRule
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues, TierProvider
from tierwise.plugins.descriptors import Kind

if TYPE_CHECKING:
    from tierwise.plugins.manager import Plugins

T = TypeVar("T")

KEYS: Final = {
    Kind.GROUPING_POLICY: "policy",
    Kind.TIER_PROVIDER: "provider",
    Kind.LEARNER: "learner",
    Kind.SELECTOR: "selector",
    Kind.STOP_RULE: "rule",
    Kind.EXCHANGE: "policy",
    Kind.CODEC: "name",
    Kind.DATA_SOURCE: "source",
}
"""Under which key a table names a plugin of a kind, as the tables of a configuration do."""


def naming_key(kind: Kind, where: str) -> str:
    """Return the key that names a plugin beside its options in the table ``where``; empty if there is none.

    A learner's options stand in a table of their own.
    """
    return "" if not where or kind is Kind.LEARNER else KEYS.get(kind, "")


class Parts:
    """Makes the parts of a plugin, by name.

    A part is a table among the plugin's options, with the part's name under the key of its kind (`KEYS`), and its
    options beside it or in a table below: ``{rule = "time", seconds = 60}``, ``{learner = "mlp", options = {…}}``.
    All methods raise a `ConfigurationError` with the key at fault (``stop.rules.1.seconds``,
    ``tiers.rungs.0.options.hidden``), and a `PluginError` as `Plugins` does.

    Parameters
    ----------
    plugins
        Where parts are looked up.
    where
        The dotted key of the table that the whole plugin's options stand in.
    """

    def __init__(self, plugins: "Plugins", where: str) -> None:
        self._plugins = plugins
        self._where = where

    def key(self, *parts: str) -> str:
        """Return the dotted key of an option of the whole plugin, for an error of its own: ``parts.key("rungs.1")``."""
        return ".".join(part for part in (self._where, *parts) if part)

    def options(self, kind: Kind, name: str, options: OptionValues, *, at: str, below: str = "") -> OptionValues:
        """Check a part's name and options, for one that can only be made later: a learner needs a task.

        Parameters
        ----------
        kind, name, options
            Of the part.
        at
            The key of the part's table, from the table of the whole plugin: ``"rungs.1"``.
        below
            Under which key of the part's table its options stand; empty where they stand beside its name.

        Returns
        -------
        OptionValues
            All of its options as plain values: those left out have their defaults.
        """
        read = self._found(kind, at, below, lambda where: self._plugins.options(kind, name, options, where=where))
        # As they come back from a log or a message: with lists, so that tiers compare equal.
        plain: OptionValues = msgspec.json.decode(msgspec.json.encode(read))
        return plain

    def grouping_policy(self, name: str, options: OptionValues, *, at: str, below: str = "") -> GroupingPolicy:
        """Make a grouping policy; what is given is as for `options`, here and in all that follow."""
        make = self._plugins.grouping_policy
        return self._found(Kind.GROUPING_POLICY, at, below, lambda where: make(name, options, where=where))

    def tier_provider(self, name: str, options: OptionValues, *, at: str, below: str = "") -> TierProvider:
        """Make a tier provider."""
        make = self._plugins.tier_provider
        return self._found(Kind.TIER_PROVIDER, at, below, lambda where: make(name, options, where=where))

    def learner(self, name: str, options: OptionValues, task: Task, *, at: str, below: str = "") -> Learner:
        """Make a learner for a task."""
        make = self._plugins.learner
        return self._found(Kind.LEARNER, at, below, lambda where: make(name, options, task, where=where))

    def selector(self, name: str, options: OptionValues, *, at: str, below: str = "") -> Selector:
        """Make a selector."""
        make = self._plugins.selector
        return self._found(Kind.SELECTOR, at, below, lambda where: make(name, options, where=where))

    def stop_rule(self, name: str, options: OptionValues, *, at: str, below: str = "") -> StopRule:
        """Make a stop rule."""
        make = self._plugins.stop_rule
        return self._found(Kind.STOP_RULE, at, below, lambda where: make(name, options, where=where))

    def _found(self, kind: Kind, at: str, below: str, make: Callable[[str], T]) -> T:
        try:
            return make(self.key(at, below))
        except UnknownPluginError as error:
            raise ConfigurationError(str(error), key=self.key(at, KEYS[kind])) from error
