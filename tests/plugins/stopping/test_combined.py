"""Stop rules made of others."""

from collections.abc import Sequence

import msgspec
import pytest

from tierwise.core.errors import ConfigurationError, NeverStopsError
from tierwise.core.stopping import RoundRecord, StopRule
from tierwise.core.task import Loss, Task
from tierwise.plugins import Kind, Parts, PluginDescriptor, Plugins, hookimpl
from tierwise.plugins.testing import TASK, check_stop_rule

from .records import RECORD, with_metric

PLUGINS = Plugins.discover()
SEVEN, FIVE = {"rule": "rounds", "rounds": 7}, {"rule": "rounds", "rounds": 5}
PLATEAU = {"rule": "plateau", "patience": 2}
ENERGY = {"rule": "energy", "budget_j": 25}
FALLING, FLAT = [1.0, 0.9, 0.8], [0.8, 0.8]


def made(name: str, *rules: dict[str, object]) -> StopRule:
    return PLUGINS.stop_rule(name, {"rules": list(rules)}, where="stop")


def fault(name: str, *rules: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        PLUGINS.stop_rule(name, {"rules": list(rules)}, where="stop")
    return caught.value


@pytest.mark.parametrize("name", ["any", "all"])
def test_conformance(name: str) -> None:
    check_stop_rule(made(name, SEVEN, PLATEAU, {"rule": "all", "rules": [FIVE]}))


def test_any_stops_with_the_first() -> None:
    rule = made("any", SEVEN, PLATEAU)
    assert rule.check(with_metric("log_loss", FALLING)) is None
    assert rule.check(with_metric("log_loss", FALLING + FLAT)) == "log_loss has not improved on 0.8 for 2 rounds"
    assert rule.check(with_metric("log_loss", [*FALLING, 0.7, 0.6, 0.5, 0.4])) == "7 rounds"


def test_all_stops_when_every_one_would() -> None:
    rule = made("all", {"rule": "rounds", "rounds": 6}, PLATEAU)
    assert rule.check(with_metric("log_loss", FALLING + FLAT)) is None
    assert rule.check(with_metric("log_loss", [*FALLING, *FLAT, 0.8])) == (
        "6 rounds; log_loss has not improved on 0.8 for 3 rounds"
    )
    assert rule.check(with_metric("log_loss", [*FALLING, *FLAT, 0.1])) is None


def test_they_can_be_put_into_each_other() -> None:
    rule = made("any", SEVEN, {"rule": "all", "rules": [FIVE, PLATEAU]})
    assert rule.check(with_metric("log_loss", [1.0, 1.0, 1.0, 1.0])) is None
    assert rule.check(with_metric("log_loss", [1.0] * 5)) == "5 rounds; log_loss has not improved on 1 for 4 rounds"


def test_who_can_never_stop_does_not_stop_others() -> None:
    history = [msgspec.structs.replace(RECORD, energy_j=None)] * 5
    assert made("any", ENERGY, SEVEN).check(history) is None
    assert made("any", ENERGY, FIVE).check(history) == "5 rounds"
    for hopeless in (made("any", ENERGY), made("all", ENERGY, FIVE), made("any", {"rule": "all", "rules": [ENERGY]})):
        with pytest.raises(NeverStopsError, match="no device of the group tells its power"):
            hopeless.check(history)


@pytest.mark.parametrize("name", ["any", "all"])
def test_faults_have_the_key_of_the_whole_file(name: str) -> None:
    wrong = fault(name, SEVEN, {"rule": "plateau", "patience": 0})
    assert wrong.key == "stop.rules.1.patience"
    assert "option 'patience' of stop rule 'plateau' is 0, allowed is an integer of at least 1" in str(wrong)
    assert fault(name, {"rule": "rounds", "round": 3}).key == "stop.rules.0.round"
    assert fault(name, SEVEN, {"rule": name, "rules": [SEVEN, {"rule": "time", "seconds": 0}]}).key == (
        "stop.rules.1.rules.1.seconds"
    )
    unknown = fault(name, SEVEN, {"rule": "plato"})
    assert unknown.key == "stop.rules.1.rule"
    assert "there is no stop rule named 'plato' (did you mean 'plateau'?)" in str(unknown)


def test_a_table_without_a_name_says_what_to_write() -> None:
    nameless = fault("any", SEVEN, {"rounds": 3})
    assert nameless.key == "stop"
    assert "item 1 of rules is {'rounds': 3}, which names no rule: write { rule = " in str(nameless)
    assert "a list" in str(fault("any"))
    assert "allowed is a list, each item a table" in str(fault("any", "rounds"))


def test_each_rule_is_asked_about_the_task() -> None:
    rule = made("any", SEVEN, {"rule": "all", "rules": [FIVE, PLATEAU]})
    rule.check_task(TASK)
    with pytest.raises(ConfigurationError, match="stop rule 'plateau' waits for metric 'log_loss'") as caught:
        rule.check_task(Task(name="heat", features=2, loss=Loss.SQUARED_ERROR))
    assert caught.value.key == "rules.1.rules.1.metric"


class LastOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``inner``: the rule that decides."""

    inner: str = "rounds"


class Twice:
    """Of a policy pack: doubles the reason of another rule."""

    def __init__(self, options: LastOptions, parts: Parts) -> None:
        self._inner = parts.stop_rule(options.inner, {"rounds": 1}, at="inner")

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        reason = self._inner.check(history)
        return reason and f"{reason}, {reason}"


class Pack:
    """Announces a rule that is made of another, the way a built-in does."""

    @hookimpl
    def tierwise_stop_rules(self):
        yield PluginDescriptor(
            kind=Kind.STOP_RULE,
            name="twice",
            target=f"{__name__}:Twice",
            options=f"{__name__}:LastOptions",
            summary=".",
            composed=True,
        )


def test_a_policy_pack_has_rules_made_of_others_too() -> None:
    plugins = Plugins.discover()
    plugins.register(Pack())
    assert plugins.stop_rule("twice").check([RECORD]) == "1 round, 1 round"
    with pytest.raises(ConfigurationError) as caught:
        plugins.stop_rule("any", {"rules": [{"rule": "twice", "inner": "nothing"}]}, where="stop")
    assert caught.value.key == "stop.rules.0.inner.rule"
