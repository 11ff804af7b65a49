"""Plugins that raise or answer nonsense, of every kind: the reason names them, and nothing hangs."""

import re

import anyio
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core.errors import FederationFailedError, StoreError
from tierwise.core.grouping import Grouping
from tierwise.plugins.descriptors import AggregatorDescriptor, Kind
from tierwise.plugins.grouping.quantile import QuantileOptions, QuantilePolicy
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider
from tierwise.runtime.policies import AggregatorChoice, Choice
from tierwise.runtime.simulation.run import simulate
from tierwise.runtime.stores.memory import MemoryStore

from .helpers import descriptor, plugins_with, policies, settings, specs

THREE = QuantilePolicy(QuantileOptions(groups=3))
LADDER = MlpTierProvider(MlpLadderOptions(hidden=((2,), (4,), (8,))))


class RaisingPolicy:
    def group(self, fleet, offers, limits):
        raise ZeroDivisionError("oh")


class NothingPolicy:
    def group(self, fleet, offers, limits):
        return None


class PairsPolicy:
    def group(self, fleet, offers, limits):
        names = fleet["device"].to_list()
        return Grouping(groups=(tuple(names[:2]), tuple(names[2:])))


class ArrayPolicy:
    """Returns NumPy's own strings, which is no mistake."""

    def group(self, fleet, offers, limits):
        grouping = THREE.group(fleet, offers, limits)
        return Grouping(groups=tuple(tuple(np.array(group)) for group in grouping.groups))


class RaisingTiers:
    def offers(self, task):
        return LADDER.offers(task)

    def choose(self, task, envelope, limits):
        raise ZeroDivisionError("oh")


class TierForTheStrong(RaisingTiers):
    def choose(self, task, envelope, limits):
        if envelope.least("cpu_flops") < 1e6:
            raise ZeroDivisionError("oh")
        return LADDER.choose(task, envelope, limits)

    def initial(self, task, tier, seed):
        return LADDER.initial(task, tier, seed)


class OtherInitial(TierForTheStrong):
    def choose(self, task, envelope, limits):
        return LADDER.choose(task, envelope, limits)

    def initial(self, task, tier, seed):
        return LADDER.initial(task, LADDER.offers(task)[0], seed)


class RaisingSelector:
    def select(self, candidates, *, seed):
        raise ZeroDivisionError("oh")


class StrangerSelector:
    def select(self, candidates, *, seed):
        return ["d0", "d1", "stranger"]


class ListsSelector:
    def select(self, candidates, *, seed):
        return [["d0"], ["d1"], ["d2"]]


class RaisingReducer:
    def reduce(self, updates, samples, out):
        raise ZeroDivisionError("oh")


class RaisingOptimizer:
    def step(self, state, model, reduced):
        raise ZeroDivisionError("oh")


class RaisingStop:
    def check(self, history):
        raise ZeroDivisionError("oh")


class TrueStop:
    def check(self, history):
        return True


class RaisingLearner:
    def __init__(self, task):
        raise ZeroDivisionError("oh")


KINDS = {
    Kind.GROUPING_POLICY: (RaisingPolicy, NothingPolicy, PairsPolicy, ArrayPolicy),
    Kind.TIER_PROVIDER: (RaisingTiers, TierForTheStrong, OtherInitial),
    Kind.SELECTOR: (RaisingSelector, StrangerSelector, ListsSelector),
    Kind.REDUCER: (RaisingReducer,),
    Kind.SERVER_OPTIMIZER: (RaisingOptimizer,),
    Kind.STOP_RULE: (RaisingStop, TrueStop),
}
PACK = [descriptor(kind, cls.__name__.lower(), cls) for kind, classes in KINDS.items() for cls in classes]
AGGREGATORS = [
    AggregatorDescriptor(name="r", reducer="raisingreducer", server_optimizer="plain", summary="For tests."),
    AggregatorDescriptor(name="o", reducer="mean", server_optimizer="raisingoptimizer", summary="For tests."),
]
PLUGINS = plugins_with(*PACK, *AGGREGATORS)


def run(store=None, **chosen):
    return simulate(settings(), specs(), policies=policies(**chosen), plugins=PLUGINS, store=store)


def without_place(reason):
    """Cut off where the plugin raised, which the tests of the text do not care for."""
    return re.sub(r" \([a-z_]+\.py, line \d+\)$", "", reason)


def named(cls):
    return Choice(name=cls.__name__.lower())


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (
            RaisingPolicy,
            r"^grouping policy .raisingpolicy. .test-pack 1.2.3. failed: ZeroDivisionError: oh .test_runners.py, line ",
        ),
        (NothingPolicy, "^grouping policy 'nothingpolicy' \\(test-pack 1.2.3\\) failed: ValidationError: Expected"),
        (PairsPolicy, "the grouping policy's answer cannot be used: group 0 has 2 devices"),
    ],
)
def test_a_grouping_policy_that_fails_ends_the_federation(policy, reason):
    with pytest.raises(FederationFailedError, match=reason):
        run(grouping=named(policy))


def test_a_grouping_policy_may_return_numpys_own_strings():
    assert [len(group.devices) for group in run(grouping=named(ArrayPolicy)).result.groups] == [3, 3, 3]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (
            {"selection": named(RaisingSelector)},
            "selector 'raisingselector' (test-pack 1.2.3) failed: ZeroDivisionError: oh",
        ),
        (
            {"aggregation": AggregatorChoice(name="r")},
            "aggregator 'r' (test-pack 1.2.3) failed: ZeroDivisionError: oh",
        ),
        (
            {"aggregation": AggregatorChoice(name="o")},
            "aggregator 'o' (test-pack 1.2.3) failed: ZeroDivisionError: oh",
        ),
        ({"stop": named(RaisingStop)}, "stop rule 'raisingstop' (test-pack 1.2.3) failed: ZeroDivisionError: oh"),
        (
            {"stop": named(TrueStop)},
            (
                "stop rule 'truestop' (test-pack 1.2.3) failed: ValidationError: Expected `str | null`, got `bool` - "
                "at `$.reason`"
            ),
        ),
        (
            {"selection": named(ListsSelector)},
            (
                "selector 'listsselector' (test-pack 1.2.3) failed: ValidationError: Expected `str`, got `array` - at "
                "`$.devices[0]`"
            ),
        ),
    ],
)
def test_another_plugin_that_fails_ends_its_group_with_the_model_that_it_has(chosen, reason):
    store = MemoryStore()
    result = run(store, **chosen).result
    assert result.failed
    assert len(result.groups) == 3
    for group in result.groups:
        assert without_place(group.reason) == reason
        assert group.failed
        assert group.model.layout == group.tier.layout
    replayed = anyio.run(store.records)
    assert isinstance(replayed[-1].event, e.FederationFinished)


def test_a_failure_of_a_part_names_the_plugin_that_was_chosen():
    rules = [{"rule": "rounds", "rounds": 2}, {"rule": "raisingstop"}]
    simulated = run(stop=Choice(name="all", options={"rules": rules}))
    reasons = {without_place(group.reason) for group in simulated.result.groups}
    assert len(reasons) == 1
    assert re.fullmatch(r"stop rule 'all' \(tierwise [\d.]+\) failed: ZeroDivisionError: oh", reasons.pop())
    opened = simulated.records[0].event
    assert [one.name for one in opened.plugins if one.kind == "stop rule"] == ["all", "rounds", "raisingstop"]


def test_a_selector_that_chooses_strangers():
    result = run(selection=named(StrangerSelector)).result
    assert [group.failed for group in result.groups] == [True, True, True]
    assert "the selector's answer cannot be used: it chose ['stranger'], who are no candidates" in [
        group.reason for group in result.groups
    ]


def test_a_tier_provider_that_fails_for_every_group_ends_the_federation():
    with pytest.raises(FederationFailedError, match="no group has a target model: g1: tier provider 'raisingtiers' "):
        run(tiers=named(RaisingTiers))


def test_a_group_without_a_tier_is_named_in_the_result_of_the_others():
    result = run(tiers=named(TierForTheStrong)).result
    assert [group.group for group in result.groups] == ["g2", "g3"]
    untiered = {name: without_place(reason) for name, reason in result.untiered.items()}
    assert untiered == {"g1": "tier provider 'tierforthestrong' (test-pack 1.2.3) failed: ZeroDivisionError: oh"}
    assert result.failed
    assert not any(group.failed for group in result.groups)


def test_initial_weights_of_another_layout_are_the_providers_failure():
    result = run(tiers=named(OtherInitial)).result
    assert [group.tier.name for group in result.groups] == ["mlp-2"]  # whose layout it happens to be
    assert sorted(result.untiered) == ["g2", "g3"]
    assert "LayoutError: the initial model of tier 'mlp-4': tensor '0.bias' has" in result.untiered["g2"]


def test_blobs_of_answers_that_count_for_nothing_do_not_stay():
    store = MemoryStore()
    result = run(store, aggregation=AggregatorChoice(name="o")).result
    assert anyio.run(store.blobs) == sorted({group.identity for group in result.groups})


class FullStore(MemoryStore):
    """Has no room for a blob until some is made."""

    full = True

    async def put(self, data):
        if self.full:
            raise StoreError("the disk is full")
        return await super().put(data)


def test_a_full_disk_is_no_plugins_fault_and_the_run_can_be_gone_on_with():
    store = FullStore()
    with pytest.raises(StoreError, match="the disk is full"):
        run(store)
    kinds = {type(record.event) for record in anyio.run(store.records)}
    assert e.GroupFinished not in kinds
    store.full = False
    assert [group.failed for group in run(store).result.groups] == [False, False, False]
