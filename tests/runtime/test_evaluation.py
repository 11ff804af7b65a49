"""Federated evaluation: of groups, of the federation, by class of devices, and where it is worst."""

import asyncio
import dataclasses

import msgspec
import pytest

from tests.runtime import helpers
from tierwise.core import events as e
from tierwise.core.metrics import Metric, add_metrics, read_metrics
from tierwise.runtime.evaluation import evaluated_models, evaluations, worst_tenth
from tierwise.runtime.figures import Run, read_figures
from tierwise.runtime.policies import Choice
from tierwise.runtime.stores.memory import MemoryStore


@pytest.fixture(scope="module")
def records():
    return asyncio.run(helpers.run_with_agents())[1]


@pytest.fixture(scope="module")
def run(records) -> Run:
    return run_of(records)


def run_of(records, kinds=None) -> Run:
    async def read() -> Run:
        store = MemoryStore()
        await store.append([record for record in records if not isinstance(record.event, e.GroupFinished)])
        return await Run.read(store, kinds)

    found = asyncio.run(read())  # without the blobs of target models, which are not looked at here
    state = helpers_state(records)
    return dataclasses.replace(found, records=records, state=state)


def helpers_state(records):
    from tierwise.core.federation import Federation

    federation = Federation()
    for record in records:
        federation.apply(record)
    return federation.state


def of(reported, devices):
    return read_metrics(add_metrics(reported[device] for device in devices))


def test_all_hold_outs_is_the_sum_of_the_groups(records, run) -> None:
    closing = [record.event.metrics for record in records if isinstance(record.event, e.GroupFinished)]
    figures = run.figures
    assert len(closing) == 3
    assert figures.metric == "accuracy"
    assert figures.evaluation is not None
    assert figures.evaluation.metrics == read_metrics(add_metrics(closing))
    assert (figures.evaluation.devices, figures.evaluation.closing, figures.evaluation.version) == (9, True, 2)
    assert figures.evaluation.metrics["accuracy"].count == 9 * 6
    assert figures.history[-1] == figures.evaluation


def test_a_class_has_its_devices_own_sums(records, run) -> None:
    reported = {r.event.device: r.event.metrics for r in records if isinstance(r.event, e.EvaluationAccepted)}
    assert len(reported) == 9
    found = run.figures.evaluation.classes
    assert [(one.name, one.devices) for one in found] == [
        ("100 kFLOP/s to 1 MFLOP/s", 3),
        ("1 to 10 MFLOP/s", 3),
        ("10 to 100 MFLOP/s", 3),
    ]
    assert [one.metrics for one in found] == [of(reported, [f"d{k + n}" for n in range(3)]) for k in (0, 3, 6)]
    assert add_counts(found) == run.figures.evaluation.metrics["accuracy"].count


def add_counts(classes) -> int:
    return sum(one.metrics["accuracy"].count for one in classes)


def test_in_a_fleet_of_known_kinds_a_class_is_a_kind(records) -> None:
    kinds = {f"d{n}": "board" if n < 4 else "desktop" for n in range(9)}
    found = run_of(records, kinds).figures.evaluation.classes
    assert [(one.name, one.devices) for one in found] == [("board", 4), ("desktop", 5)]


def test_the_history_has_each_model_before_its_round(records, run) -> None:
    figures = run.figures
    rounds = [record.event for record in records if isinstance(record.event, e.RoundClosed)]
    first = [event.metrics for event in rounds if event.version == 1]
    assert [(one.version, one.closing) for one in figures.history] == [(0, False), (1, False), (2, True)]
    assert figures.history[0].metrics["log_loss"].value == pytest.approx(
        read_metrics(add_metrics(first))["log_loss"].value
    )
    for group in figures.groups:
        own = [event for event in rounds if event.group == group.group]
        assert [one.version for one in group.history] == [1, 2]
        assert [one.metrics for one in group.history] == [read_metrics(event.metrics) for event in own]
        assert sum(one.download_bytes for one in group.history) == group.download_bytes > 0
        assert sum(one.upload_bytes for one in group.history) == group.upload_bytes > 0
    assert figures.upload_bytes == sum(group.upload_bytes for group in figures.groups)
    assert (figures.rounds, figures.abandoned) == (6, 0)


def test_wherever_a_log_is_cut_its_figures_can_be_read(records) -> None:
    seen = set()
    for length in range(len(records) + 1):
        cut = records[:length]
        figures = read_figures(cut, helpers_state(cut))
        seen.add(figures.evaluation and (figures.evaluation.version, figures.evaluation.closing))
        msgspec.json.encode(figures)
    assert seen >= {None, (0, False), (1, False), (2, True)}


def test_devices_of_a_merged_group_are_not_counted_twice() -> None:
    """g1 goes to g2 after its first round: what it evaluated is not added to what its devices evaluate there."""
    models = evaluated_models(merged_log())
    assert {model.group for model in models} == {"g1", "g2"}
    figures = read_figures(merged_log(), helpers_state(merged_log()))
    assert {model.group for model in models if model.closing} == {"g2"}
    assert figures.evaluation.devices == 5
    assert figures.evaluation.metrics["accuracy"].count == 5 * 6


def merged_log():
    """Run six devices in two groups, of which one loses a device after a round, and then merges."""
    if not _MERGED:
        _MERGED.extend(asyncio.run(run_and_lose()))
    return _MERGED


_MERGED: list[e.Record] = []


async def run_and_lose():
    from tierwise.runtime.simulation.run import run_virtually  # noqa: F401

    import anyio

    from tierwise.runtime.transports.memory import MemoryNetwork

    store, network = MemoryStore(), MemoryNetwork()
    settings = helpers.settings(6, deadline_s=600.0, grace_s=0.05)
    policies = helpers.policies(rounds=4, groups=2, tiers=Choice(name="mlp", options={"hidden": [[2]]}))
    async with helpers.coordinator(network.coordinator(), store, settings=settings, policies=policies) as running:
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()

            async def leave() -> None:
                async with helpers.agent(0, network) as agent:  # noqa: F841
                    await stop.wait()

            tasks.start_soon(leave)
            for number in range(1, 6):
                tasks.start_soon(helpers.live, number, network)
            async for event in running.events(lossless=True):
                if isinstance(event, e.RoundClosed) and event.group == "g1":
                    stop.set()
        await running.result()
    return await store.records()


# the worst tenth


def shares(*values: float):
    return [{"accuracy": Metric(sum=value * 100, count=100)} for value in values]


def errors(*values: float):
    return [{"rmse": Metric(sum=value**2 * 100, count=100)} for value in values]


def test_the_worst_tenth_is_the_mean_of_the_worst_devices_own_values() -> None:
    found = worst_tenth(shares(*(n / 40 for n in range(40))), "accuracy")
    assert (found.metric, found.devices, found.hidden) == ("accuracy", 4, "")
    assert found.value == pytest.approx((0 + 1 + 2 + 3) / 4 / 40)


def test_for_an_error_the_worst_is_the_greatest() -> None:
    found = worst_tenth(errors(*range(1, 32)), "rmse")
    assert (found.devices, found.value) == (4, pytest.approx((31 + 30 + 29 + 28) / 4))


def test_the_worst_tenth_is_three_devices_at_least() -> None:
    found = worst_tenth(shares(0.9, 0.1, 0.8, 0.3, 0.2, 0.7), "accuracy")
    assert (found.devices, found.value) == (3, pytest.approx(0.2))


@pytest.mark.parametrize("devices", range(6))
def test_for_few_devices_there_is_no_worst_tenth(devices) -> None:
    """Of five, three would leave two, and the figure of all tells what those have."""
    without_hold_out = [{"accuracy": Metric(sum=0, count=0)}] * 3
    found = worst_tenth(shares(*[0.5] * devices) + without_hold_out, "accuracy")
    assert (found.devices, found.value) == (0, None)
    assert found.hidden == f"{devices} devices have a value of their own, it takes 6"


# devices without hold-outs


def test_two_devices_own_figures_are_not_shown(records) -> None:
    """Of g1's three devices only two have hold-outs: the group has no figures, and no class is those two."""
    without = [
        dataclasses.replace(model, parts={name: one for name, one in model.parts.items() if name != "d0"})
        for model in evaluated_models(records)
    ]
    assert [model.figures for model in without if model.group == "g1"] == [{}] * 3
    assert all(model.figures for model in without if model.group != "g1")
    profiles = {f"d{number}": helpers.profile(number) for number in range(9)}
    found = evaluations(without, "accuracy", profiles)[-1]
    assert [(one.name, one.devices) for one in found.classes] == [
        ("100 kFLOP/s to 10 MFLOP/s", 5),
        ("10 to 100 MFLOP/s", 3),
    ]
    (alone,) = evaluations([without[-1]], "accuracy", profiles) if without[-1].group == "g1" else [found]
    assert alone.devices in (2, 8)
