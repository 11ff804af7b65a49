"""Plugins that consist of other plugins; a pack's are no different from built-in ones."""

import functools
from typing import Any

import msgspec
import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.task import Task
from tierwise.plugins import Kind, Parts, PluginDescriptor, Plugins, builtin, hookimpl

TASK = Task(name="test", features=4, classes=("a", "b"))


class BothOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rules: tuple[dict[str, Any], ...]


class Both:
    def __init__(self, options: BothOptions, parts: Parts) -> None:
        self.parts = [
            parts.stop_rule(one["rule"], one["options"], at=f"rules.{number}", below="options")
            if "options" in one
            else parts.stop_rule(one.pop("rule"), one, at=f"rules.{number}")
            for number, one in enumerate(map(dict, options.rules))
        ]

    def check(self, history):
        reasons = [part.check(history) for part in self.parts]
        return " and ".join(reasons) if all(reasons) else None


class OfNumpy:
    """A learner without options of its own."""

    def __init__(self, task: Task, parts: Parts) -> None:
        self.inner = parts.learner("mlp", {"hidden": [3]}, task, at="inner")


def described(kind: Kind, name: str, cls: type, options: type | None = None) -> PluginDescriptor:
    return PluginDescriptor(
        kind=kind,
        name=name,
        target=f"{__name__}:{cls.__name__}",
        options=f"{__name__}:{options.__name__}" if options else "",
        summary=".",
        composed=True,
    )


class Pack:
    @hookimpl
    def tierwise_stop_rules(self):
        return [described(Kind.STOP_RULE, "both", Both, BothOptions)]

    @hookimpl
    def tierwise_learners(self):
        return [described(Kind.LEARNER, "of-numpy", OfNumpy)]


@functools.cache
def plugins() -> Plugins:
    found = Plugins(builtin)
    found.register(Pack(), distribution="my-pack", version="2.0")
    return found


def rule(name: str, **options: object) -> dict[str, object]:
    return {"rule": name, **options}


def both(*rules: object) -> Both:
    return plugins().stop_rule("both", {"rules": list(rules)}, where="stop")


def test_parts_are_made_by_name() -> None:
    made = both(rule("rounds", rounds=3), rule("both", rules=[rule("time", seconds=60)]))
    assert [type(part).__name__ for part in made.parts] == ["RoundsRule", "Both"]
    assert [type(part).__name__ for part in made.parts[1].parts] == ["TimeRule"]


def test_the_parts_stand_behind_all_other_arguments() -> None:
    made = plugins().learner("of-numpy", None, TASK)
    assert made.inner.layout.size == (4 + 1) * 3 + (3 + 1) * 2


@pytest.mark.parametrize(
    ("rules", "key", "text"),
    [
        (
            [rule("rounds"), rule("rounds", rounds=0)],
            "stop.rules.1.rounds",
            "option 'rounds' of stop rule 'rounds' is 0, allowed is an integer of at least 1",
        ),
        (
            [rule("both", rules=[rule("rounds"), rule("time", second=1)])],
            "stop.rules.0.rules.1.second",
            "stop rule 'time' has no option 'second' (did you mean 'seconds'?), which is set to 1",
        ),
        (
            [{"rule": "rounds", "options": {"rounds": 0}}],
            "stop.rules.0.options.rounds",
            "option 'rounds' of stop rule 'rounds' is 0",
        ),
        (
            [{"rule": "round", "options": {}}],
            "stop.rules.0.rule",
            "there is no stop rule named 'round'",
        ),
        ([rule("round")], "stop.rules.0.rule", "there is no stop rule named 'round' (did you mean 'rounds'?)"),
        (
            [rule("both", rules=[rule("tim")])],
            "stop.rules.0.rules.0.rule",
            "there is no stop rule named 'tim' (did you mean 'time'?)",
        ),
    ],
)
def test_a_fault_has_the_key_of_the_part(rules: list[object], key: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        both(*rules)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: {text}")


def test_a_part_that_is_made_later_is_checked_now() -> None:
    parts = Parts(plugins(), "tiers")
    found = parts.options(Kind.LEARNER, "mlp", {"hidden": [3, 4]}, at="rungs.1", below="options")
    assert (found["hidden"], found["batch_size"]) == ([3, 4], 10)
    with pytest.raises(ConfigurationError) as caught:
        parts.options(Kind.LEARNER, "mlp", {"hidden": 3}, at="rungs.1", below="options")
    assert caught.value.key == "tiers.rungs.1.options.hidden"
    with pytest.raises(ConfigurationError) as caught:
        parts.options(Kind.LEARNER, "mpl", {}, at="rungs.1", below="options")
    assert caught.value.key == "tiers.rungs.1.learner"


def test_without_a_table_keys_begin_with_the_part() -> None:
    with pytest.raises(ConfigurationError) as caught:
        plugins().stop_rule("both", {"rules": [rule("rounds", rounds=0)]})
    assert caught.value.key == "rules.0.rounds"


def test_parts_of_all_kinds() -> None:
    parts = Parts(plugins(), "")
    assert type(parts.grouping_policy("quantile", {}, at="a")).__name__ == "QuantilePolicy"
    assert type(parts.tier_provider("mlp", {}, at="a")).__name__ == "MlpTierProvider"
    assert type(parts.learner("mlp", {}, TASK, at="a")).__name__ == "MlpLearner"
    assert type(parts.selector("all", {}, at="a")).__name__ == "AllSelector"


def test_what_is_made_is_noted_with_its_parts() -> None:
    used: list = []
    plugins().noting(used).stop_rule("both", {"rules": [rule("time"), rule("both", rules=[rule("rounds")])]})
    assert [one.name for one in used] == ["both", "time", "both", "rounds"]
    assert [one.distribution for one in used[::2]] == ["my-pack", "my-pack"]
    plugins().stop_rule("rounds")
    assert len(used) == 4  # only what is made through what `noting` returned
