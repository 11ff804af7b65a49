"""What is compared: rules that were fixed before, one fleet and one partition for all, and what the user brings."""

from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import pytest

from tests.runtime.demo.conftest import DATA
from tierwise.core.errors import ConfigurationError
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.brought import DEVICES, RESERVED, Wanted
from tierwise.runtime.demo.introduction import introduction
from tierwise.runtime.demo.plan import BUDGET, ArmName, Plan, make_plan
from tierwise.runtime.policies import NO_EXCHANGE


@pytest.fixture(scope="module")
def usual(plugins: Plugins) -> Plan:
    return make_plan(0, plugins)


def test_the_deadline_is_the_median_devices_time_for_the_largest_tier(usual: Plan, plugins: Plugins) -> None:
    largest = plugins.tier_provider("mlp").offers(usual.settings.task)[-1].cost
    times = []
    for spec in usual.devices.values():
        value = spec.profile.value
        trained = min(BUDGET.epochs * len(spec.data.train), BUDGET.max_samples)
        flops = largest.fit_flops_per_sample * trained
        flops += largest.evaluate_flops_per_sample * len(spec.data.holdout)
        transfer = largest.bytes / value("downlink_bytes_per_s") + largest.bytes / value("uplink_bytes_per_s")
        times.append(transfer + flops / value("cpu_flops"))
    assert usual.deadline_s == pytest.approx(median(times))


def test_the_federations_differ_in_groups_tiers_and_exchange_only(usual: Plan) -> None:
    assert [arm.name for arm in usual.arms] == list(ArmName)
    tierwise, isolated, largest, smallest = usual.arms
    assert tierwise.policies.exchange.name == "distill"
    assert msgspec.structs.replace(tierwise.policies, exchange=isolated.policies.exchange) == isolated.policies
    assert msgspec.structs.replace(largest.policies, tiers=smallest.policies.tiers) == smallest.policies
    assert largest.policies.grouping.options == {"groups": 1}
    assert {arm.policies.exchange.name for arm in usual.arms[1:]} == {NO_EXCHANGE}
    assert [arm.own is not None for arm in usual.arms] == [True, False, False, False]


def test_each_digit_is_a_devices_or_the_coordinators(usual: Plan) -> None:
    own = usual.arm(ArmName.TIERWISE).own
    assert own is not None
    assert own.public is not None
    assert own.test is None, "its labels are not looked at"
    dealt = [part.features for spec in usual.devices.values() for part in (spec.data.train, spec.data.holdout)]
    assert (len(usual.devices), sum(map(len, dealt)), len(own.public)) == (DEVICES, 1797 - RESERVED, RESERVED)
    both = np.concatenate([*dealt, own.public])
    from sklearn.datasets import load_digits

    assert np.array_equal(np.sort(both, axis=0), np.sort(load_digits().data.astype(np.float32), axis=0))


def test_a_fleet_of_the_users_own(small_fleet: Path, plugins: Plugins) -> None:
    plan = make_plan(3, plugins, Wanted(fleet=small_fleet))
    assert sorted(plan.devices) == sorted(f"d{n}" for n in range(12))
    assert plan.models is None
    assert plan.devices["d11"].profile.value("cpu_flops") == 3e8 * 2**11
    assert plan.settings.enrolment.min_devices == 12


def test_data_without_reserved_samples_leave_groups_alone(small_fleet: Path, plugins: Plugins) -> None:
    plan = make_plan(0, plugins, Wanted("digits:samples=300", small_fleet))
    assert plan.public == 0
    assert [arm.name for arm in plan.arms] == [ArmName.TIERWISE, ArmName.LARGEST, ArmName.SMALLEST]
    assert plan.arms[0].policies.exchange.name == NO_EXCHANGE


def test_few_devices_are_in_few_groups(tmp_path: Path, plugins: Plugins) -> None:
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("device,cpu_flops\n" + "\n".join(f"d{n},{n + 1}e9" for n in range(7)))
    plan = make_plan(0, plugins, Wanted(DATA, fleet))
    assert plan.arms[0].policies.grouping.options == {"groups": 2}


def saved(folder: Path, device: int, labels: np.ndarray) -> None:
    features = np.random.default_rng(device).normal(size=(len(labels), 3))
    np.savez(folder / f"k{device}.npz", x=features, y=labels)


@pytest.fixture
def own_data(tmp_path: Path) -> str:
    """Return the data of four devices, a file for each."""
    for device in range(4):
        saved(tmp_path, device, np.arange(20) % 2)
    return f"npz:path={tmp_path}/*.npz,partition=own"


def test_data_that_say_whose_they_are_draw_as_many_devices(own_data: str, plugins: Plugins) -> None:
    plan = make_plan(0, plugins, Wanted(own_data))
    assert [len(spec.data.train) + len(spec.data.holdout) for spec in plan.devices.values()] == [20] * 4


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("digts", "--data digts: there is no data source named 'digts' (did you mean 'digits'?)"),
        ("digits:part=1,parts=3", "part, parts and seed are for one device"),
        ("digits:reserved=1790", "--data digits:reserved=1790: data source 'digits' has 7 samples to deal out"),
        ("npz:path=nowhere.npz", "--data npz:path=nowhere.npz: "),
    ],
)
def test_data_that_cannot_be_are_told(plugins: Plugins, data: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_plan(0, plugins, Wanted(data))
    assert told in str(caught.value)


def test_what_is_reserved_of_data_that_are_each_devices_own_is_told_where_to_put(
    own_data: str, plugins: Plugins
) -> None:
    with pytest.raises(ConfigurationError, match=r"reserved is 5, .* another file: \[exchange.public\] of a TOML file"):
        make_plan(0, plugins, Wanted(f"{own_data},reserved=5"))


def test_features_of_somebodys_data_are_standardised_and_it_is_told(own_data: str, plugins: Plugins) -> None:
    plan = make_plan(0, plugins, Wanted(own_data))
    assert plan.settings.task.standardise
    assert "Features are standardised" in introduction(plan, 1, yours=True)
    assert not make_plan(0, plugins, Wanted("digits:samples=300")).settings.task.standardise


def in_a_file(folder: Path, more: str) -> str:
    """Return a TOML file that names the data of four devices, from its own folder, and says more."""
    file = folder / "d.toml"
    file.write_text(f'[data]\nsource = "npz"\npath = "k*.npz"\npartition = "own"\nclasses = ["0", "1"]\n{more}')
    return str(file)


@pytest.mark.parametrize(
    ("said", "standardised", "because"),
    [
        ("", True, "Features are standardised, since"),
        ("standardise = true", True, "Features are standardised, as"),
        ("standardise = false", False, "Features are not standardised, as"),
    ],
)
def test_what_a_file_says_of_the_task_counts(
    tmp_path: Path, own_data: str, plugins: Plugins, said: str, standardised: bool, because: str
) -> None:
    file = in_a_file(tmp_path, f'[task]\nmetrics = ["accuracy", "auc"]\n{said}')
    plan = make_plan(0, plugins, Wanted(file))
    assert plan.settings.task.standardise is standardised
    assert plan.settings.task.metrics == ("accuracy", "auc")
    assert because in plan.because
    assert file in plan.because


def test_a_fault_in_a_files_task_is_told(tmp_path: Path, own_data: str, plugins: Plugins) -> None:
    with pytest.raises(ConfigurationError, match=r"d.toml: task.standardize: .*did you mean 'standardise'"):
        make_plan(0, plugins, Wanted(in_a_file(tmp_path, "[task]\nstandardize = true")))


def test_groups_learn_from_each_other_by_the_public_samples_that_a_file_names(
    tmp_path: Path, own_data: str, plugins: Plugins
) -> None:
    (tmp_path / "shared").mkdir()
    saved(tmp_path / "shared", 9, np.arange(11) % 2)
    public = '[exchange]\npolicy = "distill"\n[exchange.public]\nsource = "npz"\npath = "shared/k9.npz"\n'
    plan = make_plan(0, plugins, Wanted(in_a_file(tmp_path, f'{public}classes = ["0", "1"]')))
    assert plan.public == 11
    assert [arm.name for arm in plan.arms] == list(ArmName)
    assert plan.arms[0].policies.exchange.name == "distill"


def test_devices_with_data_of_their_own_are_not_said_to_be_dealt_any(own_data: str, plugins: Plugins) -> None:
    plan = make_plan(0, plugins, Wanted(own_data))
    told = introduction(plan, 2, yours=True)
    assert "each has its own and keeps some as its hold-out" in told
    assert "each chooses the hold-outs anew" in told


def test_a_regression_is_refused(tmp_path: Path, plugins: Plugins) -> None:
    saved(tmp_path, 0, np.random.default_rng(0).normal(size=40))
    with pytest.raises(ConfigurationError, match="the demonstration compares accuracies: take a classification"):
        make_plan(0, plugins, Wanted(f"npz:path={tmp_path}/k0.npz,task=regression"))


def test_a_fleet_that_does_not_fit_the_data_is_told(own_data: str, small_fleet: Path, plugins: Plugins) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_plan(0, plugins, Wanted(own_data, small_fleet))
    assert str(caught.value) == f"{small_fleet}: has 12 devices, and the data are of 4: each device has its own"
