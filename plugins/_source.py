"""Where a plugin came from, and what its hooks announce."""

import importlib
import inspect
import re
import types
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

import msgspec
import pluggy

from tierwise.core.errors import PluginLoadError, nearest
from tierwise.plugins.descriptors import AggregatorDescriptor, AnyDescriptor, Kind, PluginDescriptor
from tierwise.plugins.hookspecs import HOOKS

THIS_PROGRAM: Final = "this program"
"""Stands for the distribution of a plugin that a program registers itself."""
_PREFIX: Final = "tierwise_"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TARGET: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Source(msgspec.Struct, frozen=True):
    """A plugin module and what brings it: a distribution, or a file that is in none."""

    module: str
    distribution: str
    version: str = ""
    file: str = ""

    def __str__(self) -> str:
        return self.file or f"{self.distribution} {self.version}".rstrip()

    @property
    def remedy(self) -> str:
        """What the user can do about a fault in it, as a sentence."""
        if self.file:
            return f"Correct {self.file}."
        if self.distribution == THIS_PROGRAM:
            return f"Correct {self.module!r}, which this program registers."
        return (
            f"Run `pip install --upgrade {self.distribution}` for a corrected version, "
            f"or `pip uninstall {self.distribution}` to go on without it."
        )

    def fault(self, text: str) -> PluginLoadError:
        """Make the error that names this source, what is wrong with it, and the remedy."""
        what = "plugin file" if self.file else f"plugin module {self.module!r} of"
        return PluginLoadError(f"{what} {self}: {text}. {self.remedy}")


def name_of(plugin: object) -> str:
    """Name a plugin object for messages: a module, a class, or an instance."""
    named = plugin if isinstance(plugin, types.ModuleType | type) else type(plugin)
    return named.__name__ if isinstance(named, types.ModuleType) else f"{named.__module__}.{named.__qualname__}"


def check_hooks(manager: pluggy.PluginManager, plugin: object, source: Source) -> None:
    """Raise a `PluginLoadError` for a hook that would be ignored or could not be called.

    pluggy itself passes over a function without the mark, and over an unknown name until it is asked.
    """
    for name in dir(plugin):
        marked = manager.parse_hookimpl_opts(plugin, name)
        if marked is None:
            if name.startswith(_PREFIX) and _is_unmarked_hook(getattr(plugin, name)):
                raise source.fault(f"{name} is not marked with @tierwise.plugins.hookimpl")
            continue
        hook = marked.get("specname") or name
        if hook not in HOOKS:
            hint = nearest(hook, HOOKS)
            raise source.fault(f"there is no hook named {hook!r}{hint}; the hooks are {', '.join(HOOKS)}")
        if marked.get("wrapper") or marked.get("hookwrapper"):
            raise source.fault(f"hook {hook} is a wrapper; hooks of tierwise only announce, there is nothing to wrap")
        extra = _arguments(getattr(plugin, name))
        if extra:
            raise source.fault(
                f"hook {hook} has a wrong signature: it is called without arguments, "
                f"this one needs {', '.join(map(repr, extra))}"
            )


def _is_unmarked_hook(value: object) -> bool:
    # The specifications carry a mark of their own; a module that imports one does not implement it.
    return inspect.isroutine(value) and not hasattr(value, f"{_PREFIX}spec")


def _arguments(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]


def announced(manager: pluggy.PluginManager, plugin: object, source: Source) -> list[AnyDescriptor]:
    """Call a registered plugin's hooks and return what they announce, each descriptor checked."""
    others = [other for other in manager.get_plugins() if other is not plugin]
    found: list[AnyDescriptor] = []
    for hook, kind in HOOKS.items():
        caller = manager.subset_hook_caller(hook, others)
        if not caller.get_hookimpls():
            continue
        try:
            answers = caller()
            answer = list(answers[0]) if answers and isinstance(answers[0], Iterable) else None
        except Exception as error:
            raise source.fault(f"hook {hook} raised {type(error).__name__}: {error}") from error
        if answer is None:
            raise source.fault(f"hook {hook} returned {_shown(answers)}, not an iterable of descriptors")
        for descriptor in answer:
            _check_descriptor(descriptor, hook, kind, source)
            found.append(descriptor)
    return found


def _shown(answers: list[object]) -> str:
    if not answers:  # pluggy leaves out what is None
        return "None"
    if inspect.iscoroutine(answers[0]):
        answers[0].close()
        return "a coroutine (a hook is a plain function)"
    return repr(answers[0])


def _check_descriptor(descriptor: object, hook: str, kind: Kind, source: Source) -> None:
    expected = AggregatorDescriptor if kind is Kind.AGGREGATOR else PluginDescriptor
    if not isinstance(descriptor, expected):
        raise source.fault(f"hook {hook} returned {descriptor!r} among its items, expected {expected.__name__}")
    if descriptor.kind is not kind:
        right = next((name for name, own in HOOKS.items() if own is descriptor.kind), "no hook")
        raise source.fault(
            f"hook {hook} announces {descriptor.name!r} as {_article(str(descriptor.kind))}, but it is for "
            f"{_article(kind)}; {right} is the hook for that"
        )
    if not _NAME.fullmatch(descriptor.name):
        raise source.fault(
            f"hook {hook} announces the name {descriptor.name!r}; a name is of lower-case letters, digits, "
            "'-', '.' and '_', and begins with a letter or digit"
        )
    if isinstance(descriptor, PluginDescriptor):
        for attribute, text in (("target", descriptor.target), ("options", descriptor.options)):
            if not _TARGET.fullmatch(text) and (text or attribute == "target"):
                raise source.fault(
                    f"hook {hook} announces {descriptor.name!r} with {attribute} {text!r}, "
                    "expected the form 'package.module:Class'"
                )


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def load(path: str, what: str, source: Source) -> Any:
    """Import ``"module:Class"``.

    Raises
    ------
    PluginLoadError
        If the module cannot be imported or has no such class.
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise PluginLoadError(
            f"{what} of {source}: its module {module_name!r} cannot be imported: "
            f"{type(error).__name__}: {error}. {source.remedy}"
        ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        close = get_close_matches(attribute, [name for name, value in vars(module).items() if isinstance(value, type)])
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise PluginLoadError(
            f"{what} of {source}: module {module_name!r} has no class {attribute!r}{hint}. {source.remedy}"
        )
    return found
