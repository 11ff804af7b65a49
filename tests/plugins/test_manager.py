"""Discovery and creation, with distributions that are really on the path, and the whole text of every error."""

import os
import subprocess
import sys
import textwrap

import pytest

from tierwise.core.errors import (
    ConfigurationError,
    PluginClashError,
    PluginFailedError,
    PluginLoadError,
    UnknownPluginError,
)
from tierwise.core.events import PluginUsed
from tierwise.core.task import Task
from tierwise.plugins import AggregatorDescriptor, Kind, PluginDescriptor, Plugins, builtin, hookimpl, hookspecs

TASK = Task(name="test", features=4, classes=("a", "b"))
HEADER = """
from typing import Literal
import msgspec
from tierwise.plugins import AggregatorDescriptor, Kind, PluginDescriptor, hookimpl
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution: its metadata with an entry point, and the module that it names."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def install(name, source, *, version="1.0", header=HEADER):
        module = name.replace("-", "_")
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(header + textwrap.dedent(source))
        metadata = tmp_path / f"{module}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[tierwise]\npolicies = {module}\n")
        return module

    yield install
    for module in modules:
        sys.modules.pop(module, None)


BUILT_IN = ["accelerator", "cpu", "load", "memory", "power", "storage", "thermal"]
"""Probes."""


def descriptor_source(kind="PROBE", name="disk", target="{module}:Disk", options=""):
    return f"PluginDescriptor(kind=Kind.{kind}, name={name!r}, target={target!r}, options={options!r}, summary='.')"


def probes(module, **descriptor):
    """Write a module that announces one probe."""
    listed = descriptor_source(target=f"{module}:Disk", **descriptor)
    return f"""
    @hookimpl
    def tierwise_probes():
        return [{listed}]

    class Disk:
        async def measure(self):
            return {{"disk_bytes": 1e12}}
    """


def remedy(name):
    return f"Run `pip install --upgrade {name}` for a corrected version, or `pip uninstall {name}` to go on without it."


def discovery_error(error):
    with pytest.raises(error) as caught:
        Plugins.discover()
    return str(caught.value)


# Discovery


def test_builtins_come_through_the_entry_point():
    plugins = Plugins.discover()
    assert [d.name for d in plugins.descriptors(Kind.GROUPING_POLICY)] == [
        "deadline",
        "kmeans",
        "quantile",
        "threshold",
    ]
    assert plugins.provenance(Kind.PROBE, "cpu").distribution == "tierwise"


def test_every_kind_has_a_builtin_and_a_hook():
    plugins = Plugins(builtin)
    assert all(plugins.descriptors(kind) for kind in Kind)


def test_a_policy_pack_is_found_and_its_plugin_made(install):
    module = install("disk-pack", probes("disk_pack"), version="2.1")
    plugins = Plugins.discover()
    names = [found.name for found in plugins.descriptors(Kind.PROBE)]
    assert names == sorted([*BUILT_IN, "disk"])
    assert plugins.provenance(Kind.PROBE, "disk") == PluginUsed(
        kind="probe", name="disk", distribution="disk-pack", version="2.1"
    )
    assert type(plugins.probe("disk")).__module__ == module


def test_a_plugin_is_not_imported_before_it_is_used(install):
    install("lazy-pack", probes("nowhere"))
    assert "lazy_pack" not in sys.modules
    Plugins.discover()  # the target's module does not exist


def test_nothing_of_a_module_that_fails_is_registered(install):
    plugins = Plugins()

    class HalfRight:
        @hookimpl
        def tierwise_aggregators(self):
            return [AggregatorDescriptor(name="a", reducer="r", server_optimizer="s", summary=".")]

        @hookimpl
        def tierwise_probes(self):
            return ["disk"]

    with pytest.raises(PluginLoadError):
        plugins.register(HalfRight())
    assert not any(plugins.descriptors(kind) for kind in Kind)


def test_two_instances_have_plugins_of_their_own():
    one, other = Plugins(builtin), Plugins()
    assert one.descriptors(Kind.PROBE)
    assert not other.descriptors(Kind.PROBE)


def test_two_instances_of_one_class_can_be_registered():
    class Named:
        def __init__(self, name):
            self.name = name

        @hookimpl
        def tierwise_aggregators(self):
            return [AggregatorDescriptor(name=self.name, reducer="mean", server_optimizer="plain", summary=".")]

    plugins = Plugins(builtin, Named("one"), Named("two"))
    assert [d.name for d in plugins.descriptors(Kind.AGGREGATOR)] == sorted(
        [*(one.name for one in Plugins(builtin).descriptors(Kind.AGGREGATOR)), "one", "two"]
    )


def test_every_hook_is_documented_and_has_a_kind():
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("tierwise_")}
    assert list(hooks) == list(hookspecs.HOOKS)
    assert list(hookspecs.HOOKS.values()) == list(Kind)
    assert all(hook.__doc__.startswith("Announce ") for hook in hooks.values())


def test_tracing_prints_every_hook_call():
    ran = subprocess.run(
        [sys.executable, "-c", "from tierwise.plugins import Plugins; Plugins.discover()"],
        env=os.environ | {"TIERWISE_TRACE_PLUGINS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ran.stderr.splitlines()
    assert len(lines) == len(Kind)
    assert lines[0].startswith("tierwise: tierwise_probes() of tierwise.plugins.builtin of tierwise ")


def test_discovery_and_a_numpy_learner_load_neither_polars_nor_scikit_learn():
    program = """
import sys
import tierwise.plugins, tierwise.plugins.testing
from tierwise.plugins import Plugins
from tierwise.plugins.testing import TASK
plugins = Plugins.discover()
assert "tierwise.plugins.learners.mlp" not in sys.modules
plugins.learner("mlp", {}, TASK)
print(sorted({"polars", "sklearn", "scipy"} & sys.modules.keys()))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


# Faults of an entry point


def test_a_module_that_cannot_be_imported(install):
    install("broken-pack", "import no_such_module_at_all")
    assert discovery_error(PluginLoadError) == (
        "plugin module 'broken_pack' of broken-pack 1.0: entry point 'policies' cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module_at_all'. " + remedy("broken-pack")
    )


def test_the_first_fault_is_the_same_everywhere(install):
    install("b-pack", "1 / 0")
    install("a-pack", "1 / 0")
    assert "a-pack 1.0: entry point 'policies' cannot be imported: ZeroDivisionError" in discovery_error(
        PluginLoadError
    )


def test_two_distributions_with_one_name(install):
    install("disk-pack", probes("disk_pack"))
    install("drive-pack", probes("drive_pack"), version="0.9")
    assert discovery_error(PluginClashError) == (
        "two distributions offer a probe named 'disk': disk-pack 1.0 (in 'disk_pack') and drive-pack 0.9 "
        "(in 'drive_pack'). " + remedy("drive-pack")
    )


def test_a_clash_with_a_builtin_does_not_advise_to_uninstall_tierwise(install):
    install("a-pack", probes("a_pack", name="cpu"))
    text = discovery_error(PluginClashError)
    assert text.startswith("two distributions offer a probe named 'cpu': a-pack 1.0 (in 'a_pack') and tierwise ")
    assert text.endswith(remedy("a-pack"))


def test_one_distribution_with_a_name_twice(install):
    one = descriptor_source(target="twice_pack:Disk")
    install("twice-pack", f"@hookimpl\ndef tierwise_probes():\n    return [{one}, {one}]")
    assert discovery_error(PluginClashError) == (
        "twice-pack 1.0 offers the probe named 'disk' twice, in 'twice_pack'. " + remedy("twice-pack")
    )


def test_a_plugin_registered_twice():
    plugins = Plugins(builtin)
    with pytest.raises(PluginClashError) as caught:
        plugins.register(builtin)
    assert str(caught.value) == (
        "plugin module 'tierwise.plugins.builtin' of this program is registered twice. Register it once: what an "
        "entry point names, Plugins.discover() has registered already."
    )


# Faults of a hook

HOOK_FAULTS = {
    "a wrong signature": (
        "@hookimpl\ndef tierwise_probes(fleet, tier=None):\n    return []",
        "hook tierwise_probes has a wrong signature: it is called without arguments, this one needs 'fleet'",
    ),
    "a keyword that is required": (
        "@hookimpl\ndef tierwise_probes(*, fleet):\n    return []",
        "hook tierwise_probes has a wrong signature: it is called without arguments, this one needs 'fleet'",
    ),
    "an unknown hook": (
        "@hookimpl\ndef tierwise_probe():\n    return []",
        (
            "there is no hook named 'tierwise_probe' (did you mean 'tierwise_probes'?); the hooks are tierwise_probes, "
            "tierwise_grouping_policies, tierwise_tier_providers, tierwise_learners, tierwise_selectors, "
            "tierwise_reducers, tierwise_server_optimizers, tierwise_aggregators, tierwise_exchanges, "
            "tierwise_codecs, tierwise_stop_rules, tierwise_data_sources"
        ),
    ),
    "a hook without its mark": (
        "def tierwise_probes():\n    return []",
        "tierwise_probes is not marked with @tierwise.plugins.hookimpl",
    ),
    "a wrapper": (
        "@hookimpl(wrapper=True)\ndef tierwise_probes():\n    return (yield)",
        "hook tierwise_probes is a wrapper; hooks of tierwise only announce, there is nothing to wrap",
    ),
    "no answer": (
        "@hookimpl\ndef tierwise_probes():\n    pass",
        "hook tierwise_probes returned None, not an iterable of descriptors",
    ),
    "a descriptor without a list": (
        "@hookimpl\ndef tierwise_probes():\n    return 7",
        "hook tierwise_probes returned 7, not an iterable of descriptors",
    ),
    "a coroutine": (
        "@hookimpl\nasync def tierwise_probes():\n    return []",
        "hook tierwise_probes returned a coroutine (a hook is a plain function), not an iterable of descriptors",
    ),
    "something else than descriptors": (
        "@hookimpl\ndef tierwise_probes():\n    return ['disk']",
        "hook tierwise_probes returned 'disk' among its items, expected PluginDescriptor",
    ),
    "another kind": (
        f"@hookimpl\ndef tierwise_probes():\n    return [{descriptor_source('AGGREGATOR')}]",
        (
            "hook tierwise_probes announces 'disk' as an aggregator, but it is for a probe; tierwise_aggregators is "
            "the hook for that"
        ),
    ),
    "an exception": (
        "@hookimpl\ndef tierwise_probes():\n    yield 1 / 0",
        "hook tierwise_probes raised ZeroDivisionError: division by zero",
    ),
    "a name that is none": (
        f"@hookimpl\ndef tierwise_probes():\n    return [{descriptor_source(name='My Disk')}]",
        (
            "hook tierwise_probes announces the name 'My Disk'; a name is of lower-case letters, digits, '-', '.' and "
            "'_', and begins with a letter or digit"
        ),
    ),
    "a target that is none": (
        f"@hookimpl\ndef tierwise_probes():\n    return [{descriptor_source(target='pack.Disk')}]",
        "hook tierwise_probes announces 'disk' with target 'pack.Disk', expected the form 'package.module:Class'",
    ),
}


@pytest.mark.parametrize("fault", HOOK_FAULTS)
def test_a_faulty_hook(install, fault):
    source, text = HOOK_FAULTS[fault]
    install("faulty-pack", source)
    assert discovery_error(PluginLoadError) == (
        f"plugin module 'faulty_pack' of faulty-pack 1.0: {text}. {remedy('faulty-pack')}"
    )


def test_a_faulty_hook_of_the_program_itself():
    class Own:
        @hookimpl
        def tierwise_probes(self):
            return 7

    with pytest.raises(PluginLoadError) as caught:
        Plugins(Own())
    where = f"{__name__}.{Own.__qualname__}"
    assert str(caught.value) == (
        f"plugin module {where!r} of this program: hook tierwise_probes returned 7, not an iterable of descriptors. "
        f"Correct {where!r}, which this program registers."
    )


# Faults when a plugin is made


def test_an_unknown_name():
    with pytest.raises(UnknownPluginError) as caught:
        Plugins(builtin).grouping_policy("quantiles")
    assert str(caught.value) == (
        "there is no grouping policy named 'quantiles' (did you mean 'quantile'?); installed: deadline, kmeans, "
        "quantile, threshold. "
        "`tierwise plugins` lists them all; a policy pack that brings 'quantiles' is installed with pip, a file of "
        "your own is named in the TOML file, `[plugins] modules`, or by the option "
        "`--plugins FILE` of a command that has it."
    )


def test_a_target_whose_module_cannot_be_imported(install):
    install("gone-pack", probes("gone_pack.inner"))
    plugins = Plugins.discover()
    with pytest.raises(PluginLoadError) as caught:
        plugins.probe("disk")
    assert str(caught.value) == (
        "probe 'disk' of gone-pack 1.0: its module 'gone_pack.inner' cannot be imported: ModuleNotFoundError: "
        "No module named 'gone_pack.inner'; 'gone_pack' is not a package. " + remedy("gone-pack")
    )


def test_a_target_class_that_is_not_there(install):
    install("gone-pack", probes("gone_pack").replace("class Disk", "class Disc"))
    plugins = Plugins.discover()
    with pytest.raises(PluginLoadError) as caught:
        plugins.probe("disk")
    assert str(caught.value) == (
        "probe 'disk' of gone-pack 1.0: module 'gone_pack' has no class 'Disk' (did you mean 'Disc'?). "
        + remedy("gone-pack")
    )


def test_options_that_are_no_struct(install):
    install("dict-pack", probes("dict_pack", options="dict_pack:Disk"))
    plugins = Plugins.discover()
    with pytest.raises(PluginLoadError) as caught:
        plugins.probe("disk")
    assert str(caught.value) == (
        "probe 'disk' of dict-pack 1.0: its options type 'dict_pack:Disk' is not a msgspec Struct. "
        + remedy("dict-pack")
    )


def test_a_class_that_cannot_be_made(install):
    install(
        "raising-pack",
        probes("raising_pack") + "\n        def __init__(self):\n            raise OSError('no /proc here')\n",
    )
    plugins = Plugins.discover()
    with pytest.raises(PluginFailedError) as caught:
        plugins.probe("disk")
    assert str(caught.value) == (
        "probe 'disk' of raising-pack 1.0 cannot be made: raising_pack:Disk raised OSError: no /proc here. "
        + remedy("raising-pack")
    )


def test_what_a_plugin_says_itself_is_passed_on(install):
    install(
        "choosy-pack",
        probes("choosy_pack")
        + "\n        def __init__(self):"
        + "\n            from tierwise.core.errors import ConfigurationError"
        + "\n            raise ConfigurationError('there is no disk', key='probes')\n",
    )
    plugins = Plugins.discover()
    with pytest.raises(ConfigurationError, match=r"^probes: there is no disk$"):
        plugins.probe("disk")


def test_an_aggregator_is_checked_to_have_its_parts():
    class Pack:
        @hookimpl
        def tierwise_aggregators(self):
            for name, reducer, optimizer in (("ok", "mean", "plain"), ("r", "meen", "plain"), ("s", "mean", "adan")):
                yield AggregatorDescriptor(name=name, reducer=reducer, server_optimizer=optimizer, summary=".")

    plugins = Plugins(builtin)
    plugins.register(Pack(), distribution="pack", version="3")
    assert plugins.aggregator("ok").reducer == "mean"
    with pytest.raises(PluginLoadError) as caught:
        plugins.aggregator("r")
    assert str(caught.value) == (
        "aggregator 'r' of pack 3 names the reducer 'meen', which no installed distribution offers (did you mean "
        "'mean'?). Install the policy pack that brings it, or this: " + remedy("pack")
    )
    with pytest.raises(PluginLoadError, match="names the server optimizer 'adan', which no installed distribution"):
        plugins.aggregator("s")


# Options

OPTIONS = """
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    groups: Annotated[int, msgspec.Meta(ge=2, le=9)] = 3
    share: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    mode: Literal["fast", "exact"] = "fast"
    limit: int | None = None
    quantities: tuple[str, ...] = ()
    scale: dict[str, float] = {}
    verbose: bool = False

    def __post_init__(self):
        if self.limit is not None and self.limit < self.groups:
            raise ValueError("limit is less than groups")

class Policy:
    def __init__(self, options):
        self.options = options

@hookimpl
def tierwise_grouping_policies():
    return [PluginDescriptor(kind=Kind.GROUPING_POLICY, name="bands", target="bands_pack:Policy",
                             options="bands_pack:Options", summary=".")]
"""

OPTION_FAULTS = {
    "a typo": (
        {"group": 4},
        "grouping.group",
        (
            "grouping policy 'bands' has no option 'group' (did you mean 'groups'?), which is set to 4; its options: "
            "groups, limit, mode, quantities, scale, share, verbose; 'policy' names it"
        ),
    ),
    "a type": (
        {"groups": "four"},
        "grouping.groups",
        "option 'groups' of grouping policy 'bands' is 'four', allowed is an integer of at least 2 and of at most 9",
    ),
    "a bound": (
        {"share": -1},
        "grouping.share",
        "option 'share' of grouping policy 'bands' is -1, allowed is a number greater than 0",
    ),
    "a choice": (
        {"mode": "fats"},
        "grouping.mode",
        "option 'mode' of grouping policy 'bands' is 'fats' (did you mean 'fast'?), allowed is one of 'exact', 'fast'",
    ),
    "one that may be left out": (
        {"limit": 1.5},
        "grouping.limit",
        "option 'limit' of grouping policy 'bands' is 1.5, allowed is an integer",
    ),
    "a list": (
        {"quantities": [1]},
        "grouping.quantities",
        (
            "option 'quantities' of grouping policy 'bands' is [1], allowed is a list, each item a text "
            "(Expected `str`, got `int` - at `$[0]`)"
        ),
    ),
    "a table": (
        {"scale": {"memory_bytes": "x"}},
        "grouping.scale",
        (
            "option 'scale' of grouping policy 'bands' is {'memory_bytes': 'x'}, allowed is a table, each value a "
            "number (Expected `float`, got `str` - at `$[...]`)"
        ),
    ),
    "a truth value": (
        {"verbose": 1},
        "grouping.verbose",
        "option 'verbose' of grouping policy 'bands' is 1, allowed is true or false",
    ),
    "two together": (
        {"groups": 5, "limit": 4},
        "grouping",
        "grouping policy 'bands' does not accept {'groups': 5, 'limit': 4}: limit is less than groups",
    ),
}


@pytest.fixture
def bands(install):
    install("bands-pack", OPTIONS, header=HEADER + "from typing import Annotated\n")
    return Plugins.discover()


@pytest.mark.parametrize("fault", OPTION_FAULTS)
def test_a_faulty_option(bands, fault):
    values, key, text = OPTION_FAULTS[fault]
    with pytest.raises(ConfigurationError) as caught:
        bands.grouping_policy("bands", values, where="grouping")
    assert caught.value.key == key
    assert str(caught.value) == f"{key}: {text}"


def test_options_are_converted_and_the_others_have_their_defaults(bands):
    options = bands.grouping_policy("bands", {"share": 2, "quantities": ["cpu_flops"]}).options
    assert (options.groups, options.share, options.quantities) == (3, 2.0, ("cpu_flops",))
    assert type(options.share) is float


def test_without_a_table_the_key_is_the_option_alone(bands):
    with pytest.raises(ConfigurationError) as caught:
        bands.grouping_policy("bands", {"groups": 1})
    assert caught.value.key == "groups"


def test_a_required_option_and_no_options_at_all(install):
    install(
        "path-pack",
        """
        class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
            path: str

        class Source:
            pass

        @hookimpl
        def tierwise_data_sources():
            return [PluginDescriptor(kind=Kind.DATA_SOURCE, name="tape", target="path_pack:Source",
                                     options="path_pack:Options", summary=".")]
        """,
    )
    plugins = Plugins.discover()
    with pytest.raises(ConfigurationError) as caught:
        plugins.data_source("tape", {}, where="data")
    assert str(caught.value) == "data.path: data source 'tape' needs the option 'path': a text"
    with pytest.raises(ConfigurationError) as caught:
        plugins.selector("all", {"share": 1}, where="selection")
    assert str(caught.value) == (
        "selection.share: selector 'all' has no option 'share', which is set to 1; its options: none; "
        "'selector' names it"
    )


# Creation

MAKERS = {
    Kind.PROBE: Plugins.probe,
    Kind.GROUPING_POLICY: Plugins.grouping_policy,
    Kind.TIER_PROVIDER: Plugins.tier_provider,
    Kind.SELECTOR: Plugins.selector,
    Kind.REDUCER: Plugins.reducer,
    Kind.SERVER_OPTIMIZER: Plugins.server_optimizer,
    Kind.STOP_RULE: Plugins.stop_rule,
    Kind.DATA_SOURCE: Plugins.data_source,
}
NEEDED = {
    "threshold": {"rules": [{"name": "small", "where": "memory_bytes < 2e9"}]},
    "ladder": {"rungs": [{"learner": "mlp"}]},
}
"""Options without which a plugin cannot be made."""


@pytest.mark.parametrize("kind", MAKERS)
def test_every_maker_makes_the_class_of_its_descriptor(kind):
    plugins = Plugins(builtin)
    for descriptor in plugins.descriptors(kind):
        if descriptor.name == "warm":  # which needs an earlier federation's directory
            continue
        made = MAKERS[kind](plugins, descriptor.name, NEEDED.get(descriptor.name))
        assert f"{type(made).__module__}:{type(made).__qualname__}" == descriptor.target


def test_a_learner_is_made_for_its_task():
    learner = Plugins(builtin).learner("mlp", {"hidden": [5]}, TASK)
    assert learner.initial(0).layout == learner.layout


def test_a_learner_without_options_is_made_from_the_task_alone(install):
    install(
        "small-pack",
        """
        class Learner:
            def __init__(self, task):
                self.task = task

        @hookimpl
        def tierwise_learners():
            return [PluginDescriptor(kind=Kind.LEARNER, name="small", target="small_pack:Learner", summary=".")]
        """,
    )
    assert Plugins.discover().learner("small", None, TASK).task is TASK


def test_a_descriptor_tells_its_kind():
    assert AggregatorDescriptor(name="a", reducer="r", server_optimizer="s", summary=".").kind is Kind.AGGREGATOR
    assert PluginDescriptor(kind=Kind.PROBE, name="a", target="m:C", summary=".").kind is Kind.PROBE
