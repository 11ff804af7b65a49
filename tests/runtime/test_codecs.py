"""Federations whose updates are coded: in memory, in a simulation, and gone on with."""

import anyio
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation.run import simulate

from .helpers import facts, plugins, policies, run_with_agents, settings, specs, targets_of

CODED = ("float16", "bfloat16", "int8", "top-k")


def run(codec, options=None, **changed):
    chosen = policies(codec=Choice(name=codec, options=options or {}), **changed)
    return simulate(settings(), specs(), policies=chosen, plugins=plugins())


def updates(records):
    return [record.event for record in records if isinstance(record.event, e.UpdateAccepted)]


def tiers(records):
    return {record.event.group: record.event.tier for record in records if isinstance(record.event, e.TierAssigned)}


@pytest.mark.parametrize("codec", CODED)
def test_a_coded_update_is_as_large_as_the_tier_says(codec):
    done = run(codec)
    assigned = tiers(done.records)
    assert {tier.codec.name for tier in assigned.values()} == {codec}
    sent = updates(done.records)
    assert len(sent) == 18
    for one in sent:
        tier = assigned[one.cohort.partition(".")[0]]
        assert one.size_bytes == tier.cost.upload_bytes
        assert tier.cost.update_bytes == tier.cost.upload_bytes


@pytest.mark.parametrize("codec", CODED)
def test_the_same_bytes_in_memory_and_in_a_simulation(codec):
    _, records, _ = anyio.run(lambda: run_with_agents(policies=policies(codec=Choice(name=codec))))
    assert facts(records) == facts(run(codec).records)


def test_float32_is_what_is_sent_without_a_codec():
    plain, chosen = simulate(settings(), specs(), policies=policies(), plugins=plugins()), run("float32")
    assert plain.records == chosen.records
    assert {tier.cost.upload_bytes for tier in tiers(plain.records).values()} == {None}


@pytest.mark.parametrize("codec", ["float16", "bfloat16", "int8"])
def test_what_is_learned_is_about_the_same(codec):
    coded, plain = run(codec, rounds=4), run("float32", rounds=4)
    assert targets_of(coded.records) != targets_of(plain.records)
    for one, other in zip(coded.result.groups, plain.result.groups, strict=True):
        moved = np.abs(other.model.buffer).max()
        np.testing.assert_allclose(one.model.buffer, other.model.buffer, atol=0.05 * moved)
