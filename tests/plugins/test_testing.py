"""Every law rejects a plugin that breaks it, by its name; a right plugin passes, and so does every built-in."""

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import polars as pl
import pytest

from tierwise.core.framing import to_bytes
from tierwise.plugins import Kind, Plugins, testing
from tierwise.plugins.testing import REGRESSION_TASK, TASK, ConformanceError
from tierwise.plugins.testing._laws import Law, name_of

CONTRACTS = {
    # the module of broken plugins: (the laws' module, the check)
    "probes": ("_probe", testing.check_probe),
    "grouping_policies": ("_grouping", testing.check_grouping_policy),
    "tier_providers": ("_tiers", testing.check_tier_provider),
    "learners": ("_learner", testing.check_learner),
    "selectors": ("_selector", testing.check_selector),
    "reducers": ("_reducer", testing.check_reducer),
    "server_optimizers": ("_optimizer", testing.check_server_optimizer),
    "exchanges": ("_exchange", testing.check_exchange),
    "codecs": ("_codec", testing.check_codec),
    "stop_rules": ("_stopping", testing.check_stop_rule),
    "data_sources": ("_data", testing.check_data_source),
}


def broken(contract: str) -> ModuleType:
    """Import a module that lies beside this file, which is on no path."""
    spec = importlib.util.spec_from_file_location(
        f"broken_{contract}", Path(__file__).parent / "broken" / f"{contract}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def laws(contract: str) -> tuple[Law, ...]:
    return importlib.import_module(f"tierwise.plugins.testing.{CONTRACTS[contract][0]}").LAWS


def cases(table: str) -> Iterator[object]:
    for contract in CONTRACTS:
        for name, plugin in getattr(broken(contract), table).items():
            yield pytest.param(contract, name, plugin, id=f"{contract}: {name}")


@pytest.mark.parametrize(("contract", "law", "plugin"), list(cases("BROKEN")))
def test_a_broken_plugin_is_rejected_by_the_name_of_its_law(contract, law, plugin):
    with pytest.raises(ConformanceError) as caught:
        CONTRACTS[contract][1](plugin)
    assert caught.value.law == law, str(caught.value)
    assert str(caught.value).startswith(f"{type(plugin).__qualname__} breaks the law {law!r}: ")


@pytest.mark.parametrize(("contract", "name", "plugin"), list(cases("RIGHT")))
def test_a_right_plugin_passes(contract, name, plugin):
    CONTRACTS[contract][1](plugin)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_law_has_a_plugin_that_breaks_it(contract):
    assert list(broken(contract).BROKEN) == [name_of(law) for law in laws(contract)]


def test_a_tier_is_compared_with_its_learner():
    module = broken("tier_providers")
    with pytest.raises(ConformanceError) as caught:
        testing.check_tier_provider(module.RIGHT["ladder"], TASK, Plugins(module.WithAnotherLearner()))
    assert caught.value.law == "the learner agrees with the tier"


NUMBERS = broken("learners")


def test_a_right_learner_of_numbers_passes():
    testing.check_learner(NUMBERS.RIGHT_NUMBERS, REGRESSION_TASK)


@pytest.mark.parametrize(("law", "plugin"), NUMBERS.BROKEN_NUMBERS.items())
def test_a_broken_learner_of_numbers_is_rejected_by_the_name_of_its_law(law, plugin):
    with pytest.raises(ConformanceError) as caught:
        testing.check_learner(plugin, REGRESSION_TASK)
    assert caught.value.law == law, str(caught.value)


def test_a_law_under_which_a_plugin_raises_is_broken_and_the_cause_is_kept():
    class Raises:
        def check(self, history):
            raise ZeroDivisionError("division by zero")

    with pytest.raises(ConformanceError, match="it raised ZeroDivisionError: division by zero") as caught:
        testing.check_stop_rule(Raises())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_data_source_may_have_only_its_own_data():
    module = broken("data_sources")
    testing.check_data_source(module.OneDevice(), parts=1)


def check_both(plugins, name):
    """Check a learner of classes and of numbers: all built-in ones are both."""
    for task in (TASK, REGRESSION_TASK):
        testing.check_learner(plugins.learner(name, {}, task), task)


NEEDED = {"threshold": {"rules": [{"name": "small", "where": "memory_bytes < 2e9"}]}}
"""Options without which a plugin cannot be made."""
CHECKS = {
    Kind.PROBE: lambda plugins, name: testing.check_probe(plugins.probe(name)),
    Kind.GROUPING_POLICY: lambda plugins, name: testing.check_grouping_policy(
        plugins.grouping_policy(name, NEEDED.get(name))
    ),
    Kind.LEARNER: lambda plugins, name: check_both(plugins, name),
    Kind.SELECTOR: lambda plugins, name: testing.check_selector(plugins.selector(name)),
    Kind.REDUCER: lambda plugins, name: testing.check_reducer(plugins.reducer(name)),
    Kind.SERVER_OPTIMIZER: lambda plugins, name: testing.check_server_optimizer(plugins.server_optimizer(name)),
    Kind.EXCHANGE: lambda plugins, name: testing.check_exchange(plugins.exchange(name)),
    Kind.CODEC: lambda plugins, name: testing.check_codec(plugins.codec(name)),
    Kind.STOP_RULE: lambda plugins, name: testing.check_stop_rule(plugins.stop_rule(name)),
}


def builtins() -> Iterator[object]:
    plugins = Plugins(importlib.import_module("tierwise.plugins.builtin"))
    for kind in Kind:
        for descriptor in plugins.descriptors(kind):
            yield pytest.param(plugins, kind, descriptor.name, id=f"{kind}: {descriptor.name}")


def data_source(plugins, name, folder):
    """Make a data source, with small data where it comes without."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), np.arange(40) % 2
    np.savez(folder / "a.npz", x=x, y=y)
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": y})
    table.write_csv(folder / "a.csv")
    table.write_parquet(folder / "a.parquet")
    options = {
        "digits": {},
        "callable": {"function": "sklearn.datasets:load_wine", "arguments": {"return_X_y": True}, "partition": "iid"},
        "npz": {"path": str(folder / "a.npz"), "partition": "iid"},
        "csv": {"path": str(folder / "a.csv"), "target": "label", "partition": "iid"},
        "parquet": {"path": str(folder / "a.parquet"), "target": "label", "partition": "iid"},
    }
    return plugins.data_source(name, options[name])


def tier_provider(plugins, name, folder):
    """Make a tier provider; the earlier federation that one of them wants has a model of one of its tiers."""
    learner = plugins.learner("mlp", {"hidden": [8]}, TASK)
    model = learner.initial(1)
    (folder / "g1.safetensors").write_bytes(to_bytes(model))
    card = {"format": "tierwise.card.1", "file": "g1.safetensors", "sha256": model.identity, "group": "g1"}
    card |= {"tier": "mlp-8", "task": TASK, "layout": model.layout, "devices": 3}
    (folder / "g1.json").write_bytes(msgspec.json.encode(card))
    rungs = [{"learner": "sklearn-linear"}, {"learner": "mlp"}]
    options = {"ladder": {"rungs": rungs}, "warm": {"directory": str(folder), "inner": {"provider": "mlp"}}}
    return plugins.tier_provider(name, options.get(name))


@pytest.mark.parametrize(("plugins", "kind", "name"), list(builtins()))
def test_every_builtin_conforms(plugins, kind, name, tmp_path):
    if kind is Kind.AGGREGATOR:
        assert plugins.aggregator(name).name == name  # both of its parts exist, and are checked by themselves
    elif kind is Kind.DATA_SOURCE:
        testing.check_data_source(data_source(plugins, name, tmp_path))
    elif kind is Kind.TIER_PROVIDER:
        testing.check_tier_provider(tier_provider(plugins, name, tmp_path), TASK, plugins)
    else:
        CHECKS[kind](plugins, name)
