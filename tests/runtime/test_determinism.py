"""The same seed gives the same bytes, whatever the order in which things happen to come."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest

from tierwise.core import events as e
from tierwise.core.events import encode_record
from tierwise.core.hardware import HardwareProfile, Quantity
from tierwise.core.ids import BlobHash
from tierwise.runtime.compute import InlineCompute, ThreadCompute
from tierwise.runtime.simulation.run import run_virtually, simulate
from tierwise.runtime.stores.memory import MemoryStore

from .helpers import facts, plugins, policies, run_with_agents, settings, specs, targets_of


def simulate_once(fleet=None, seed=7, store=None, **changed):
    chosen = policies(**changed)
    return simulate(settings(seed=seed), fleet or specs(), policies=chosen, plugins=plugins(), store=store).records


def log_bytes(records):
    return b"".join(encode_record(record) for record in records)


def test_two_simulations_have_the_same_log_byte_for_byte():
    assert log_bytes(simulate_once()) == log_bytes(simulate_once())


@pytest.mark.parametrize("other", [{"seed": 8}, {"rounds": 3}, {"groups": 2}])
def test_something_else_gives_something_else(other):
    first, second = targets_of(simulate_once()), targets_of(simulate_once(**other))
    assert not set(first.values()) & set(second.values())


def with_links(fleet, rates):
    """Return a fleet with other links: what a device sends takes another time, and nothing else changes."""
    changed = {}
    for (name, spec), rate in zip(fleet.items(), rates, strict=True):
        links = {
            "uplink_bytes_per_s": Quantity(value=float(rate)),
            "downlink_bytes_per_s": Quantity(value=3.0 * rate),
        }
        profile = HardwareProfile(quantities={**spec.profile.quantities, **links})
        changed[name] = replace(spec, profile=profile)
    return changed


def arrivals(records):
    return [(r.event.cohort, r.event.device) for r in records if isinstance(r.event, e.UpdateAccepted)]


def test_the_order_of_arrival_does_not_matter():
    expected, orders = targets_of(simulate_once()), set()
    for rates in (range(100, 1000, 100), range(900, 0, -100), (500, 90, 800, 70, 60, 950, 40, 850, 120), [300] * 9):
        records = simulate_once(with_links(specs(), rates))
        assert {r.event.devices for r in records if isinstance(r.event, e.RoundClosed)} == {3}
        orders.add(tuple(arrivals(records)))
        assert targets_of(records) == expected
    assert len(orders) == 4


def test_the_order_in_which_the_devices_are_given_does_not_matter():
    backwards = dict(reversed(specs().items()))
    assert log_bytes(simulate_once(backwards)) == log_bytes(simulate_once())


class CopyingStore(MemoryStore):
    """Takes nothing as it is, like one on a disk: what comes is named for its bytes."""

    hold = None


def without_names(records):
    """Return facts without the names of updates, of which there are two kinds."""
    events = [record.event for record in records]
    return facts(
        replace_name(record) if isinstance(event, e.UpdateAccepted) else record
        for record, event in zip(records, events, strict=True)
    )


def replace_name(record):
    event = msgspec.structs.replace(record.event, blob=BlobHash(""))
    return msgspec.structs.replace(record, event=event)


def test_real_agents_get_the_bytes_of_the_simulation():
    simulated = simulate_once()
    _, live, targets = anyio.run(run_with_agents)
    assert targets_of(live) == targets_of(simulated)
    assert without_names(live) == without_names(simulated)
    for target in targets.values():
        assert target.model.identity == targets_of(simulated)[target.group]


def test_real_agents_name_updates_as_a_simulation_does_whose_store_could_be_on_a_disk():
    simulated = simulate_once(store=CopyingStore())
    _, live, targets = anyio.run(run_with_agents)
    assert facts(live) == facts(simulated)
    for target in targets.values():
        assert target.model.identity == targets_of(simulated)[target.group]


def test_threads_compute_the_bytes_that_the_loop_computes():
    async def run(compute, agent_compute):
        _, records, _ = await run_with_agents(compute=compute, agent_compute=agent_compute)
        return targets_of(records)

    expected = targets_of(simulate_once())
    assert anyio.run(run, InlineCompute(), lambda: InlineCompute()) == expected
    assert anyio.run(run, ThreadCompute(), lambda: ThreadCompute(workers=1)) == expected
    assert anyio.run(run, ThreadCompute(workers=1), lambda: ThreadCompute()) == expected


def test_real_agents_on_virtual_time_have_the_same_log_twice():
    assert log_bytes(run_virtually(run_with_agents())[1]) == log_bytes(run_virtually(run_with_agents())[1])


PROGRAM = """
import sys
from importlib import util
spec = util.spec_from_file_location("small_federation", sys.argv[1])
module = util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
from tierwise.core.events import encode_record
from tierwise.runtime.simulation.run import simulate
records = simulate(
    module.settings(), module.specs(), policies=module.policies(), plugins=module.plugins()
).records
print(b"".join(encode_record(record) for record in records).hex())
"""


def test_another_process_with_other_hashes_writes_the_same_log():
    helpers = Path(__file__).with_name("helpers.py")
    logs = set()
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(helpers)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        logs.add(ran.stdout.strip())
    assert len(logs) == 1
    assert logs == {log_bytes(simulate_once()).hex()}
