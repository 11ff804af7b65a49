"""Groups that learn from each other, models that the coordinator tests, features that are standardised: whole runs."""

import anyio
import msgspec
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core.errors import ConfigurationError
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.metrics import read_metric
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.standardising import DEVIATION, MEAN
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, Plugins, hookimpl
from tierwise.runtime import Choice, Policies
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import Simulation, simulate
from tierwise.runtime.stores.memory import MemoryStore

TASK = Task(name="blobs", features=4, classes=("a", "b", "c"), scale=2.0)
CENTRES = np.array([[6, 0, 0, 0], [0, 6, 0, 0], [0, 0, 6, 0]], np.float32)
ROUNDS = 6


def samples(
    count: int, seed: int, classes: tuple[int, ...] = (0, 1, 2), unit: float = 1.0, offset: float = 0.0
) -> Dataset:
    random = np.random.default_rng(seed)
    labels = random.choice(classes, count).astype(np.int64)
    features = (CENTRES[labels] + 2 * random.normal(size=(count, 4))) * unit + offset
    return Dataset(features.astype(np.float32), labels)


def fleet(*, unit: float = 1.0, offset: float = 0.0) -> dict[DeviceId, DeviceSpec]:
    """Weak devices have memory for the small tier and know two of three classes; strong ones have no such limits."""
    made = {}
    for number in range(6):
        weak = number < 3
        data = samples(40, number, (0, 1) if weak else (0, 1, 2), unit, offset)
        holdout = samples(20, 100 + number, unit=unit, offset=offset)
        profile = HardwareProfile.declared(cpu_flops=1e9 if weak else 1e10, memory_bytes=2000 if weak else 1e9)
        made[DeviceId(f"d{number}")] = DeviceSpec(profile, LocalData(data, holdout))
    return made


def settings(task: Task = TASK) -> FederationSettings:
    return FederationSettings(
        name="exchange",
        task=task,
        enrolment=EnrolmentSettings(min_devices=6, window_s=None),
        rounds=RoundSettings(deadline_s=60, epochs=3, max_samples=200),
    )


def policies(exchange: str = "distill", **options: object) -> Policies:
    return Policies(
        grouping=Choice(name="quantile", options={"groups": 2}),
        tiers=Choice(name="mlp", options={"hidden": [[4], [16]]}),
        exchange=Choice(name=exchange, options=options),
        stop=Choice(name="rounds", options={"rounds": ROUNDS}),
    )


PUBLIC, TEST = samples(120, 7).features, samples(300, 8)


def run(exchange: str = "distill", own: OwnData | None = None, **more: object) -> Simulation:
    return simulate(settings(), fleet(), policies=policies(exchange), own=own or OwnData(PUBLIC, TEST), **more)  # type: ignore[arg-type]


def accuracies_of(simulation: Simulation, group: str) -> list[float]:
    found = [record.event for record in simulation.records if isinstance(record.event, e.ModelTested)]
    figures = [read_metric(event.metrics, "accuracy") for event in found if event.group == group]
    return [figure.value for figure in figures if figure is not None and figure.value is not None]


def happened(simulation: Simulation, kind: type[e.Event]) -> list[e.Event]:
    return [record.event for record in simulation.records if isinstance(record.event, kind)]


def test_a_group_learns_a_class_from_the_other_that_its_devices_never_saw() -> None:
    alone, together = run("none"), run()
    assert max(accuracies_of(alone, "g1")) < 0.75
    assert accuracies_of(together, "g1")[-1] > accuracies_of(alone, "g1")[-1] + 0.1
    exchanged = happened(together, e.ModelExchanged)
    assert len(exchanged) == 2 * ROUNDS - 1  # the first group to close a round has nobody to learn from
    assert not happened(alone, e.ModelExchanged)


def test_every_model_is_tested_and_the_history_has_the_figures() -> None:
    simulation = run()
    for group in simulation.result.groups:
        assert len(accuracies_of(simulation, group.group)) == ROUNDS
        assert [record.test["accuracy"].count for record in group.history] == [len(TEST)] * ROUNDS


def test_the_published_model_is_the_one_that_was_exchanged() -> None:
    simulation = run()
    latest: dict[str, str] = {}
    for record in simulation.records:
        match record.event:
            case e.TierAssigned(group=group, model=model) | e.RoundClosed(group=group, model=model):
                latest[group] = model
            case e.ModelExchanged(group=group, model=model):
                latest[group] = model
            case e.RoundOpened(group=group, model=model):
                assert model == latest[group]
            case _:
                pass
    assert {group.group: group.identity for group in simulation.result.groups} == latest


def test_the_same_seed_gives_the_same_bytes_with_an_exchange() -> None:
    first, second = run(), run()
    assert first.records == second.records
    assert [group.model for group in first.result.groups] == [group.model for group in second.result.groups]


def test_only_the_blobs_of_target_models_are_left() -> None:
    store = MemoryStore()
    simulation = run(store=store)
    assert set(anyio.run(store.blobs)) == {group.identity for group in simulation.result.groups}


def test_an_exchange_without_a_public_set_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match=r"exchange\.public: exchange 'distill' needs a public set"):
        run(own=OwnData(test=TEST))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            OwnData(public=np.zeros((3, 5), np.float32)),
            r"exchange\.public: the public set has features of shape \(3, 5\)",
        ),
        (
            OwnData(public=np.zeros((0, 4), np.float32)),
            r"shape \(0, 4\), task 'blobs' expects \(n_samples, 4\), a sample",
        ),
        (
            OwnData(PUBLIC, Dataset(np.zeros((2, 3), np.float32), np.zeros(2, np.int64))),
            r"evaluation: the test set has",
        ),
    ],
)
def test_own_data_of_another_shape_are_refused(own: OwnData, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(own=own)


def test_own_data_are_divided_by_the_scale_as_devices_data_are() -> None:
    prepared = OwnData(PUBLIC, TEST).prepared(TASK)
    assert prepared.public is not None
    assert prepared.test is not None
    np.testing.assert_array_equal(prepared.public, PUBLIC / 2)
    np.testing.assert_array_equal(prepared.test.features, TEST.features / 2)
    assert prepared.public.dtype == np.float32


class Broken:
    """An exchange that answers what cannot be used."""

    needs_public = False
    needs_predictors = False

    def exchange(self, group, models, public, *, seed):  # type: ignore[no-untyped-def]
        return next(model.weights for name, model in models.items() if name != group)


class BrokenPack:
    @hookimpl
    def tierwise_exchanges(self):  # type: ignore[no-untyped-def]
        yield PluginDescriptor(
            kind=Kind.EXCHANGE, name="broken", target=f"{__name__}:Broken", summary="Gives another group's model."
        )


def test_what_cannot_be_used_ends_the_group_and_names_the_plugin() -> None:
    plugins = Plugins.discover()
    plugins.register(BrokenPack(), distribution="pack", version="2")
    simulation = simulate(settings(), fleet(), policies=policies("broken"), plugins=plugins)
    reasons = [group.reason for group in simulation.result.groups if group.failed]
    assert any("exchange 'broken' (pack 2) failed: LayoutError: what group" in reason for reason in reasons), reasons


def test_with_standardisation_features_of_any_size_are_learned() -> None:
    far = fleet(unit=1e3, offset=5e4)
    plain = simulate(settings(), far, policies=policies("none"))
    task = msgspec.structs.replace(TASK, standardise=True)
    own = OwnData(samples(120, 7, unit=1e3, offset=5e4).features, samples(300, 8, unit=1e3, offset=5e4))
    standardised = simulate(settings(task), far, policies=policies(), own=own)
    accuracies = {
        name: [group.metrics["accuracy"].mean if group.metrics else 0.0 for group in one.result.groups]
        for name, one in (("plain", plain), ("standardised", standardised))
    }
    assert max(accuracies["plain"]) < 0.7
    assert min(accuracies["standardised"]) > 0.75
    weak = np.concatenate([spec.data.train.features for spec in list(far.values())[:3]]).astype(np.float64) / TASK.scale
    model = standardised.result.groups[0].model
    np.testing.assert_allclose(model[MEAN], weak.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model[DEVIATION], weak.std(axis=0), rtol=1e-3)


def test_the_static_tensors_are_in_every_model_and_no_update_changes_them() -> None:
    store = MemoryStore()
    simulation = simulate(
        settings(msgspec.structs.replace(TASK, standardise=True)), fleet(), policies=policies("none"), store=store
    )
    (adjusted, *_), targets = happened(simulation, e.ModelStandardised), simulation.result.groups
    assert isinstance(adjusted, e.ModelStandardised)
    group = next(one for one in targets if one.group == adjusted.group)
    assert group.history[0].round == 2
    assert not np.array_equal(group.model[DEVIATION], np.ones(4))
