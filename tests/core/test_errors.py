"""The tree of exceptions, and what their texts tell: the thing, the value, and the way out."""

import importlib
import pkgutil
import re

import pytest

from tierwise import core
from tierwise.core import errors
from tierwise.core.errors import (
    BlobMissingError,
    ConfigurationError,
    TierwiseError,
    TooFewDevicesError,
    UnknownPluginError,
    nearest,
)


def drawn_tree() -> dict[str, str]:
    """Read each class's parent off the drawing in the docstring, by indentation."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        name = match[2]
        del above[depth:]
        if above:
            parents[name] = above[-1]
        above.append(name)
    return parents


def subclasses(kind: type) -> set[type]:
    return {below for one in kind.__subclasses__() for below in (one, *subclasses(one))}


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    for module in pkgutil.walk_packages(core.__path__, "tierwise.core."):
        importlib.import_module(module.name)
    real = {
        kind.__name__: kind.__bases__[0].__name__ for kind in subclasses(TierwiseError) if "core" in kind.__module__
    }
    assert drawn_tree() == real


def test_every_exception_is_described() -> None:
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    [│├└─ ]+(\w+Error)\b(.*)", line)
        if match is not None:
            assert len(match[2].split()) >= 3, line
    assert all(kind.__doc__ for kind in subclasses(TierwiseError))


def test_every_exception_is_caught_as_ours() -> None:
    for kind in subclasses(TierwiseError):
        assert issubclass(kind, TierwiseError)
        assert kind.__name__.endswith("Error")


@pytest.mark.parametrize(
    ("key", "source", "text"),
    [
        ("rounds.deadline_s", "fleet.toml", "fleet.toml: rounds.deadline_s: is -1"),
        ("rounds.deadline_s", "", "rounds.deadline_s: is -1"),
        ("", "fleet.toml", "fleet.toml: is -1"),
        ("", "", "is -1"),
    ],
)
def test_a_configuration_error_begins_with_file_and_key(key: str, source: str, text: str) -> None:
    error = ConfigurationError("is -1", key=key, source=source)
    assert str(error) == text
    assert (error.key, error.source) == (key, source)


def test_an_unknown_plugin_names_what_is_asked_for_what_there_is_and_the_nearest() -> None:
    error = UnknownPluginError("grouping policy", "kmean", {"quantile", "kmeans"})
    assert (error.kind, error.name) == ("grouping policy", "kmean")
    assert str(error) == (
        "there is no grouping policy named 'kmean' (did you mean 'kmeans'?); installed: kmeans, quantile. "
        "`tierwise plugins` lists them all; a policy pack that brings 'kmean' is installed with pip, a file of "
        "your own is named in the TOML file, `[plugins] modules`, or by the option "
        "`--plugins FILE` of a command that has it."
    )


def test_an_unknown_plugin_of_a_kind_that_has_none() -> None:
    assert "there is no probe named 'gpu'; installed: none." in str(UnknownPluginError("probe", "gpu", []))


@pytest.mark.parametrize(("found", "words"), [(0, "0 devices"), (1, "1 device "), (2, "2 devices")])
def test_too_few_devices_are_counted_and_the_reason_and_ways_out_given(found: int, words: str) -> None:
    error = TooFewDevicesError(found)
    assert error.found == found
    assert words in str(error)
    for part in ("at least 3", "a single device's update", "Start more agents", "enrolment.window_s"):
        assert part in str(error)


def test_a_missing_blob_is_named_with_the_likely_causes() -> None:
    error = BlobMissingError("ab12")
    assert error.blob == "ab12"
    assert str(error) == "blob ab12 is not in the store: it was deleted, or the store is not the run's own"


def test_the_nearest_name_is_offered_only_if_it_is_near() -> None:
    assert nearest("dead_line", ["deadline_s", "epochs"]) == " (did you mean 'deadline_s'?)"
    assert nearest("zzz", ["deadline_s", "epochs"]) == ""
    assert nearest("x", []) == ""
