"""The figures of an arm are computed from its log, its models and its devices' data, and from nothing else."""

import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core.framing import unframe
from tierwise.core.learning import Dataset, StopToken
from tierwise.core.metrics import read_metric
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.brought import Wanted
from tierwise.runtime.demo.comparison import SeedResult, compare
from tierwise.runtime.demo.measuring import Moment, reached
from tierwise.runtime.demo.outcome import ArmResult, run_arm
from tierwise.runtime.demo.plan import ROUNDS, ArmName, Plan, make_plan
from tierwise.runtime.demo.tables import ROWS, comparison_table, verdicts


def by_name(arms: list[ArmResult], name: ArmName) -> ArmResult:
    return next(arm for arm in arms if arm.name is name)


def test_tierwise_reaches_all_and_the_largest_model_half(arms: list[ArmResult], plan: Plan) -> None:
    assert by_name(arms, ArmName.TIERWISE).outcome.reached == len(plan.devices)
    assert by_name(arms, ArmName.TIERWISE).outcome.data_share == 1
    assert by_name(arms, ArmName.LARGEST).outcome.reached == len(plan.devices) // 2
    assert by_name(arms, ArmName.LARGEST).outcome.data_share < 1
    for arm in arms:
        assert [group.rounds for group in arm.outcome.figures.groups] == [ROUNDS] * len(arm.run.state.groups)


def test_accuracy_is_over_the_hold_outs_of_all_devices(arms: list[ArmResult], plan: Plan, plugins: Plugins) -> None:
    for arm in arms:
        right, each = 0.0, []
        for group in arm.run.state.groups.values():
            assert group.tier is not None
            assert group.model is not None
            learner = plugins.learner(group.tier.learner, group.tier.options, plan.settings.task)
            weights = unframe(arm.run.targets[group.model])
            for name in group.members:
                holdout = plan.devices[name].data.holdout.divided(plan.settings.task.scale)
                metric = learner.evaluate(weights, holdout)["accuracy"]
                right += metric.sum
                each.append(metric.mean)
        samples = sum(len(spec.data.holdout) for spec in plan.devices.values())
        assert arm.outcome.accuracy == pytest.approx(right / samples)
        assert arm.outcome.worst == pytest.approx(np.mean(sorted(each)[:3])), "three at the least"


def test_the_course_is_that_of_the_closing_evaluations_and_starts_untrained(arms: list[ArmResult]) -> None:
    for arm in arms:
        course = arm.outcome.course
        assert [moment.at_s for moment in course] == sorted({moment.at_s for moment in course})
        assert course[0].accuracy < 0.4
        found = [read_metric(group.metrics, "accuracy") for group in arm.run.state.groups.values()]
        closing = sum(one.value * one.count for one in found) / sum(one.count for one in found)
        assert course[-1].accuracy == arm.outcome.accuracy == pytest.approx(closing)
        assert course[-1].at_s == arm.outcome.trained_s


def test_a_device_that_misses_every_deadline_spends_until_each_round_closes(arms: list[ArmResult], plan: Plan) -> None:
    """What is spent, counted anew by hand for the largest model, with half of the fleet too slow for it."""
    arm = by_name(arms, ArmName.LARGEST)
    (group,) = arm.run.state.groups.values()
    assert group.tier is not None
    cost, traffic, energy, opened = group.tier.cost, 0.0, 0.0, {}
    for record in arm.run.records:
        event = record.event
        if isinstance(event, e.RoundOpened):
            opened[event.cohort] = record.at
            traffic += cost.bytes * len(event.participants)
        elif isinstance(event, e.UpdateAccepted):
            traffic += event.size_bytes
        ended = isinstance(event, e.RoundClosed | e.GroupFinished)
        if not ended:
            continue
        fits = isinstance(event, e.RoundClosed)
        began = opened[event.cohort] if fits else max(opened.values())
        for spec in plan.devices.values():
            samples = min(5 * len(spec.data.train), 200) if fits else 0
            flops = cost.fit_flops_per_sample * samples + cost.evaluate_flops_per_sample * len(spec.data.holdout)
            computes_s = flops / spec.profile.value("cpu_flops")
            had_s = record.at - began - cost.bytes / 1e7
            energy += spec.profile.value("power_w") * max(0.0, min(computes_s, had_s))
            if fits and computes_s < had_s < computes_s + cost.bytes / 1e7:
                traffic += cost.bytes  # it was sending
    assert arm.outcome.energy_j == pytest.approx(energy)
    assert arm.outcome.traffic_bytes == pytest.approx(traffic, rel=0.02)
    assert arm.outcome.traffic_bytes > 30 * 12 * cost.bytes


def test_without_every_devices_power_there_is_no_energy(tmp_path, plugins: Plugins) -> None:
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("device,cpu_flops,power_w\na,1e9,5\nb,1e9,\nc,1e9,5\n")
    plan = make_plan(0, plugins, Wanted("digits:samples=60", fleet))
    result = SeedResult.of(plan, [run_arm(plan, arm.name, plugins, StopToken()) for arm in plan.arms])
    assert [one.energy_j for one in result.outcomes.values()] == [None] * 3
    table = comparison_table(compare([result]))
    assert [list(column.cells)[-1] for column in table.columns][:2] == ["energy", "not known"]


def test_the_target_is_a_part_of_the_best_and_the_time_to_it_the_first(result: SeedResult) -> None:
    assert result.target == pytest.approx(0.9 * max(one.accuracy for one in result.outcomes.values()))
    for arm in compare([result]).arms:
        course = result.outcomes[arm.name].course
        if arm.target_s is None:
            assert max(moment.accuracy for moment in course) < result.target
        else:
            before = [moment for moment in course if moment.at_s < arm.target_s.mean]
            assert all(moment.accuracy < result.target for moment in before)
            assert any(moment.at_s == arm.target_s.mean and moment.accuracy >= result.target for moment in course)


def test_a_target_that_is_never_reached_has_no_time() -> None:
    course = [Moment(0.0, 0.1), Moment(1.0, 0.8), Moment(2.0, 0.7)]
    assert (reached(course, 0.8), reached(course, 0.81)) == (1.0, None)


def test_what_is_said_is_true_where_tierwise_is_ahead_and_where_behind(result: SeedResult) -> None:
    comparison = compare([result])
    ours = comparison.arms[0]
    for theirs, said in zip(comparison.arms[1:], verdicts(comparison), strict=True):
        ahead, _, behind = said.partition("behind in")
        for row in (row for row in ROWS if not row.of_target):
            mine, other = row.field(ours), row.field(theirs)
            assert mine is not None
            assert other is not None
            better = mine.mean > other.mean if row.more_is_better else mine.mean < other.mean
            if row.write(mine.mean) == row.write(other.mean):
                assert f"{row.words} (by" not in said
            else:
                assert f"{row.words} (by" in (ahead if better else behind), (row.words, said)


def test_the_same_seed_gives_the_same_models(arms: list[ArmResult], wanted: Wanted, plugins: Plugins) -> None:
    again = run_arm(make_plan(0, plugins, wanted), ArmName.TIERWISE, plugins, StopToken())
    first = by_name(arms, ArmName.TIERWISE)
    assert again.run.targets == first.run.targets
    assert again.run.records == first.run.records
    assert again.outcome == first.outcome


def test_a_hold_out_that_is_empty_does_not_matter(plan: Plan, plugins: Plugins) -> None:
    from dataclasses import replace

    name, spec = next(iter(plan.devices.items()))
    nothing = Dataset(np.empty((0, 64), np.float32), np.empty(0, np.int64))
    changed = replace(plan, devices={**plan.devices, name: replace(spec, data=replace(spec.data, holdout=nothing))})
    outcome = run_arm(changed, ArmName.SMALLEST, plugins, StopToken()).outcome
    assert 0 < outcome.accuracy <= 1
