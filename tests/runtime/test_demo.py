"""The demonstration: its rule, its figures, and that they are computed."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from safetensors.numpy import load_file

from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli.present import duration
from tierwise.runtime.demo.plan import BUDGET, DEVICES, ROUNDS, Plan, make_plan
from tierwise.runtime.demo.study import ArmName, SeedResult, compare, conclude, run_arm
from tierwise.runtime.demo.tables import comparison_table

PLUGINS = Plugins.discover()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(0, PLUGINS)


@pytest.fixture(scope="module")
def result(plan: Plan) -> SeedResult:
    runs = [run_arm(plan, name, PLUGINS, StopToken(), lambda _: None) for name in (ArmName.GROUPED, ArmName.SINGLE)]
    return conclude(plan, *runs)


def test_the_deadline_is_the_median_devices_time_for_the_largest_tier(plan: Plan) -> None:
    largest = PLUGINS.tier_provider("mlp").offers(plan.grouped.settings.task)[-1].cost
    times = []
    for spec in plan.devices.values():
        value = spec.profile.value
        trained = min(BUDGET.epochs * len(spec.data.train), BUDGET.max_samples)
        flops = largest.fit_flops_per_sample * trained
        flops += largest.evaluate_flops_per_sample * len(spec.data.holdout)
        transfer = largest.bytes / value("downlink_bytes_per_s") + largest.bytes / value("uplink_bytes_per_s")
        times.append(transfer + flops / value("cpu_flops"))
    assert plan.deadline_s == pytest.approx(median(times))
    assert plan.grouped.settings.rounds.deadline_s == plan.single.settings.rounds.deadline_s == plan.deadline_s


def test_both_federations_are_told_the_same_but_for_groups_and_tiers(plan: Plan) -> None:
    assert plan.grouped.settings == plan.single.settings
    assert plan.grouped.policies.stop == plan.single.policies.stop
    assert plan.single.policies.grouping.options == {"groups": 1}


def test_data_is_dealt_out_once_and_whole(plan: Plan) -> None:
    dealt = sum(len(spec.data.train) + len(spec.data.holdout) for spec in plan.devices.values())
    assert (len(plan.devices), dealt) == (DEVICES, 1797)


def test_the_figures_are_those_of_the_logs(plan: Plan, result: SeedResult) -> None:
    assert [group.rounds for group in result.grouped.figures.groups] == [ROUNDS] * 3
    assert sum(group.devices for group in result.grouped.figures.groups) == DEVICES
    held_out = sum(len(spec.data.holdout) for spec in plan.devices.values())
    assert result.grouped.accuracy.count == result.single.accuracy.count == held_out
    assert 0 < result.single.reached < DEVICES, "the deadline keeps about half the fleet from the largest model"
    assert result.single.data_share < 1


def test_a_tier_is_one_that_the_group_carries_in_time(result: SeedResult) -> None:
    for group in result.grouped.figures.groups:
        assert group.contributed == group.devices
        assert group.abandoned == 0


def test_the_same_seed_gives_the_same_models(plan: Plan, result: SeedResult) -> None:
    again = run_arm(make_plan(0, PLUGINS), ArmName.GROUPED, PLUGINS, StopToken(), lambda _: None)
    assert again.targets == result.run.targets
    assert again.records == result.run.records


def test_the_table_says_so_where_tierwise_is_behind(result: SeedResult) -> None:
    verdicts = _cells(result, "tierwise is")
    ours, theirs = result.grouped.accuracy.mean, result.single.accuracy.mean
    assert f"{100 * ours:.1f}" != f"{100 * theirs:.1f}", "level: take another seed"
    assert verdicts[2].startswith("ahead" if ours > theirs else "behind")
    assert _cells(result, "simulated training time", row=True)[0] == duration(result.grouped.trained_s)


def _cells(result: SeedResult, name: str, *, row: bool = False) -> list[str]:
    table = comparison_table(compare([result]))
    columns = {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}
    if not row:
        return columns[name]
    at = columns[""].index(name)
    return [cells[at] for header, cells in columns.items() if header]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [Path(sys.executable).parent / "tierwise", "demo", "--seeds", "1", "--json", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_command_prints_one_document(written: tuple[Path, dict[str, object]]) -> None:
    _, document = written
    figures = document["figures"]
    assert isinstance(figures, dict)
    assert [arm["name"] for arm in figures["arms"]] == ["tierwise", "one model for all"]


def test_what_is_written_is_what_was_printed_and_the_log(written: tuple[Path, dict[str, object]]) -> None:
    out, document = written
    kept = json.loads((out / "result.json").read_text())
    events = kept.pop("events")
    assert kept == document
    assert events[0]["event"]["event"] == "federation-opened"
    assert [record["sequence"] for record in events] == list(range(len(events)))
    for name in (one for one in kept["files"] if one.endswith(".safetensors")):
        card = json.loads((out / name).with_suffix(".json").read_text())
        tensors = load_file(out / name)
        assert {tensor["name"]: tensor["shape"] for tensor in card["layout"]["tensors"]} == {
            key: list(array.shape) for key, array in tensors.items()
        }
