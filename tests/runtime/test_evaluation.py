"""Federated evaluation: of groups, of the federation, by class of devices, and where it is worst."""

import asyncio
import dataclasses

import msgspec
import pytest

from tests.core.drive import GRACE_S, HITS, learning
from tests.runtime import helpers
from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.federation import Federation
from tierwise.core.metrics import Metric, add_metrics, read_metrics
from tierwise.runtime.evaluation import evaluated_models, evaluations, worst_tenth
from tierwise.runtime.figures import RunFigures, read_figures
from tierwise.runtime.group_figures import known_sum


@pytest.fixture(scope="module")
def records():
    return asyncio.run(helpers.run_with_agents())[1]


@pytest.fixture(scope="module")
def figures(records) -> RunFigures:
    return read_figures(records, state_of(records))


def state_of(records):
    federation = Federation()
    for record in records:
        federation.apply(record)
    return federation.state


def of(reported, devices):
    return read_metrics(add_metrics(reported[device] for device in devices))


def test_all_hold_outs_is_the_sum_of_the_groups(records, figures) -> None:
    closing = [record.event.metrics for record in records if isinstance(record.event, e.GroupFinished)]
    assert len(closing) == 3
    assert figures.metric == "accuracy"
    assert figures.evaluation is not None
    assert figures.evaluation.metrics == read_metrics(add_metrics(closing))
    assert (figures.evaluation.devices, figures.evaluation.closing, figures.evaluation.version) == (9, True, 2)
    assert figures.evaluation.metrics["accuracy"].count == 9 * 6
    assert [(one.group, one.devices, one.metrics) for one in figures.evaluation.groups] == [
        (group.group, 3, group.metrics) for group in figures.groups
    ]
    assert figures.history[-1] == figures.evaluation


def test_a_class_has_its_devices_own_sums(records, figures) -> None:
    reported = {r.event.device: r.event.metrics for r in records if isinstance(r.event, e.EvaluationAccepted)}
    assert len(reported) == 9
    found = figures.evaluation.classes
    assert [(one.name, one.devices) for one in found] == [
        ("100 kFLOP/s to 1 MFLOP/s", 3),
        ("1 to 10 MFLOP/s", 3),
        ("10 to 100 MFLOP/s", 3),
    ]
    assert [one.metrics for one in found] == [of(reported, [f"d{k + n}" for n in range(3)]) for k in (0, 3, 6)]
    assert sum(one.metrics["accuracy"].count for one in found) == figures.evaluation.metrics["accuracy"].count


def test_in_a_fleet_of_known_kinds_a_class_is_a_kind(records) -> None:
    kinds = {f"d{n}": "board" if n < 4 else "desktop" for n in range(9)}
    found = read_figures(records, state_of(records), kinds).evaluation.classes
    assert [(one.name, one.devices) for one in found] == [("board", 4), ("desktop", 5)]


def test_the_history_has_each_model_before_its_round(records, figures) -> None:
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
    assert figures.energy_j is None, "nobody knows these devices' power"


def test_energy_is_the_sum_of_what_is_known() -> None:
    assert known_sum([]) is known_sum([None, None]) is None
    assert known_sum([1.5, None, 2.0]) == 3.5


def test_wherever_a_log_is_cut_its_figures_can_be_read(records) -> None:
    seen = set()
    for length in range(len(records) + 1):
        cut = records[:length]
        figures = read_figures(cut, state_of(cut))
        seen.add(figures.evaluation and (figures.evaluation.version, figures.evaluation.closing))
        msgspec.json.encode(figures)
    assert seen >= {None, (0, False), (1, False), (2, True)}


def test_devices_of_a_merged_group_are_not_counted_twice() -> None:
    """g2 goes to g1 after a round: what it evaluated is not added to what its devices evaluate there."""
    drive = learning("abc", "def")
    drive.run_round("g1")
    drive.run_round("g2")
    drive.lose("d", "e")
    drive.wait(GRACE_S)
    drive.run_round("g1", stop="enough")
    drive.evaluate("a", "b", "c", "f", cohort="g1.r3")
    assert {model.group for model in evaluated_models(drive.records)} == {"g1", "g2"}
    found = read_figures(drive.records, drive.machine.state).evaluation
    assert (found.devices, found.metrics["accuracy"].count, found.closing) == (4, 4 * HITS["accuracy"].count, True)


def test_a_device_without_a_hold_out_evaluates_nothing() -> None:
    drive = learning("abcd")
    drive.select()
    nothing = {name: Metric(sum=0.0, count=0) for name in HITS}
    drive.give(drive.submission("a", metrics=nothing))
    drive.update("b", "c", "d")
    drive.reduce()
    found = read_figures(drive.records, drive.machine.state).evaluation
    assert (found.devices, found.metrics["accuracy"].count) == (3, 30)
    assert [one.devices for one in found.classes] == [3]


def test_a_test_set_is_shown_with_each_round_and_the_last_model() -> None:
    drive = learning("abc", tests=True)
    for hits, stop in ((3.0, None), (4.0, "enough")):
        drive.select()
        drive.update("a", "b", "c", cohort=drive.cohort().opened.cohort)
        drive.reduce()
        tested = {"accuracy": Metric(sum=hits, count=8)}
        drive.give(i.ModelMeasured(order=drive.order(c.MeasureModel).key, metrics=tested))
        drive.rule(reason=stop)
    (group,) = read_figures(drive.records, drive.machine.state).groups
    assert [one.test["accuracy"].value for one in group.history] == [3 / 8, 4 / 8]
    assert group.test == group.history[-1].test


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
    assert [model.figures.metrics for model in without if model.group == "g1"] == [{}] * 3
    assert all(model.figures.metrics for model in without if model.group != "g1")
    profiles = {f"d{number}": helpers.profile(number) for number in range(9)}
    found = evaluations(without, ["g1", "g2", "g3"], "accuracy", profiles)[-1]
    assert [(one.name, one.devices) for one in found.classes] == [
        ("100 kFLOP/s to 10 MFLOP/s", 5),
        ("10 to 100 MFLOP/s", 3),
    ]
    found = evaluations(without, ["g1"], "accuracy", profiles)
    assert [(one.devices, one.metrics, one.classes) for one in found] == [(2, {}, ())] * 3
