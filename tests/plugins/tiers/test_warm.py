"""Going on from an earlier federation's target models."""

import functools
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.runtime import helpers
from tierwise.core import events as e
from tierwise.core.errors import ConfigurationError
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.task import Task
from tierwise.core.tiers import TierProvider
from tierwise.plugins import Plugins
from tierwise.plugins.testing import check_tier_provider
from tierwise.runtime.figures import Run
from tierwise.runtime.output import make_report, write_result
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation.run import simulate

LADDER = {"hidden": [[2], [4], [8]]}


@functools.cache
def plugins() -> Plugins:
    return Plugins.discover()


def run(directory: Path, tiers: Choice, task: Task = helpers.TASK, **given: int) -> Run:
    """Run three groups of three devices, and write the result."""
    policies = helpers.policies(tiers=tiers, aggregation=helpers.AggregatorChoice(), rounds=3)
    settings = msgspec.structs.replace(helpers.settings(9, **given), task=task)
    run = Run.of(simulate(settings, helpers.specs(9), policies=policies, plugins=plugins()))
    write_result(directory, run, make_report(run))
    return run


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with the target models of ``mlp-2``, ``mlp-4`` and ``mlp-8``."""
    directory = tmp_path_factory.mktemp("earlier") / "out"
    run(directory, Choice(name="mlp", options=LADDER))
    assert {card["tier"] for card in cards(directory).values()} == {"mlp-2", "mlp-4", "mlp-8"}
    return directory


@pytest.fixture
def copied(earlier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(earlier, tmp_path / "out"))


def cards(directory: Path) -> dict[Path, dict]:
    found = {path: json.loads(path.read_bytes()) for path in sorted(directory.glob("g*.json"))}
    assert found
    return found


def warm(directory: Path, hidden: list[list[int]] = LADDER["hidden"], **options: object) -> TierProvider:
    inner = {"provider": "mlp", "hidden": hidden, **options}
    return plugins().tier_provider("warm", {"directory": str(directory), "inner": inner}, where="tiers")


def fault(directory: Path, task: Task = helpers.TASK, **options: object) -> str:
    """Return what is wrong when a provider is made, asked for its tiers, and for each one's weights."""

    def use() -> None:
        provider = warm(directory, **options)
        for tier in provider.offers(task):
            provider.initial(task, tier, 0)

    with pytest.raises(ConfigurationError) as caught:
        use()
    assert caught.value.key == "tiers.directory"
    return str(caught.value)


def test_conformance(earlier: Path) -> None:
    check_tier_provider(warm(earlier), helpers.TASK, plugins())


def test_each_tier_starts_from_its_target_model(earlier: Path) -> None:
    provider = warm(earlier)
    by_tier = {card["tier"]: path.with_suffix(".safetensors") for path, card in cards(earlier).items()}
    for tier in provider.offers(helpers.TASK):
        weights = provider.initial(helpers.TASK, tier, 0)
        assert weights == unframe(by_tier[tier.name].read_bytes())
        assert weights == provider.initial(helpers.TASK, tier, 1)  # nothing is drawn


def test_a_tier_without_a_model_starts_untrained_and_the_log_says_so(
    earlier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provider = warm(earlier, [[4], [16]])
    _, new = provider.offers(helpers.TASK)
    caplog.set_level(logging.INFO, "tierwise")
    found = provider.initial(helpers.TASK, new, 5)
    inner = plugins().tier_provider("mlp", {"hidden": [[4], [16]]})
    assert found == inner.initial(helpers.TASK, new, 5)
    assert caplog.messages == [f"tier 'mlp-16' starts untrained: {earlier} has models of mlp-2, mlp-4, mlp-8"]


def test_a_federation_goes_on_where_another_ended(earlier: Path, tmp_path: Path) -> None:
    choice = Choice(name="warm", options={"directory": str(earlier), "inner": {"provider": "mlp", **LADDER}})
    again = run(tmp_path / "again", choice, seed=8)
    first = [record.event for record in again.records if isinstance(record.event, e.TierAssigned)]
    models = {card["sha256"] for card in cards(earlier).values()}
    assert {event.model for event in first} == models
    losses = [sum(c["metrics"]["log_loss"]["value"] for c in cards(d).values()) for d in (earlier, tmp_path / "again")]
    assert losses[1] < losses[0]  # the same devices, with three more rounds


def test_of_several_groups_the_one_with_the_most_devices_counts(copied: Path) -> None:
    for path, card in cards(copied).items():
        devices = {"g1": 3, "g2": 5, "g3": 5}[card["group"]]
        tier = msgspec.structs.asdict(next(t for t in warm(copied).offers(helpers.TASK) if t.name == "mlp-2"))
        model = copied / f"{card['group']}.safetensors"
        weights = unframe((copied / "g1-mlp-2.safetensors").read_bytes()).copy()
        weights.buffer += np.float32(devices)
        model.write_bytes(to_bytes(weights))
        changed = {**card, "tier": "mlp-2", "devices": devices, "file": model.name, "sha256": str(weights.identity)}
        changed["layout"] = json.loads(msgspec.json.encode(tier["layout"]))
        path.write_text(json.dumps(changed))
    provider = warm(copied)
    tier = provider.offers(helpers.TASK)[0]
    assert provider.initial(helpers.TASK, tier, 0) == unframe((copied / "g2.safetensors").read_bytes())


def test_another_layout_is_told_with_the_file_and_the_difference(copied: Path) -> None:
    (path,) = [path for path, card in cards(copied).items() if card["tier"] == "mlp-4"]
    (other,) = [card for card in cards(copied).values() if card["tier"] == "mlp-8"]
    path.write_text(json.dumps({**other, "tier": "mlp-4"}))
    assert (
        "g3-mlp-8.safetensors: tensor '0.bias' has shape (8,), dtype float32 and role aggregate, expected shape (4,), "
        "dtype float32 and role aggregate: tier 'mlp-4' was another model then"
    ) in fault(copied)


def test_another_task_is_told_with_what_differs(earlier: Path) -> None:
    task = msgspec.structs.replace(helpers.TASK, classes=("a", "c", "b"))
    assert "is for another task: its classes is ('a', 'b', 'c'), here it is ('a', 'c', 'b')" in fault(earlier, task)


def test_what_is_measured_may_differ(earlier: Path) -> None:
    other = msgspec.structs.replace(helpers.TASK, metrics=("auc",))
    assert warm(earlier).offers(other) == warm(earlier).offers(helpers.TASK)


def test_a_standardised_federation_goes_on_with_what_was_learned(tmp_path: Path) -> None:
    task = msgspec.structs.replace(helpers.TASK, standardise=True)
    first = run(tmp_path / "first", Choice(name="mlp", options=LADDER), task=task)
    provider = warm(tmp_path / "first")
    models = {card["tier"]: path.with_suffix(".safetensors") for path, card in cards(tmp_path / "first").items()}
    for tier in provider.offers(task):
        found, model = provider.initial(task, tier, 0), unframe(models[tier.name].read_bytes())
        assert found.layout == tier.layout
        assert {name: view.tobytes() for name, view in found.items()} == {
            name: model[name].tobytes() for name in tier.layout.slices
        }
    assert "is for another task: its standardise is True, here it is False" in fault(tmp_path / "first")
    choice = Choice(name="warm", options={"directory": str(tmp_path / "first"), "inner": {"provider": "mlp", **LADDER}})
    again = run(tmp_path / "again", choice, task=task, seed=8)
    assert len(again.figures.groups) == len(first.figures.groups) == 3


def test_a_damaged_model_is_told(copied: Path) -> None:
    model = copied / "g1-mlp-2.safetensors"
    model.write_bytes(model.read_bytes()[:-4] + b"oops")
    assert "g1-mlp-2.safetensors is damaged or was exchanged" in fault(copied)
    model.unlink()
    assert "g1-mlp-2.safetensors cannot be read: No such file or directory" in fault(copied)


def test_a_damaged_card_is_told(copied: Path) -> None:
    card = copied / "g1-mlp-2.json"
    card.write_text(card.read_text()[:100])
    assert "g1-mlp-2.json is damaged" in fault(copied)


def test_a_directory_without_models_is_told(tmp_path: Path) -> None:
    assert f"tiers.directory: directory is '{tmp_path}/no', and there is no such directory" in fault(tmp_path / "no")
    (tmp_path / "package.json").write_text('{"name": "another\'s"}')
    (tmp_path / "list.json").write_text("[1, 2]")
    assert "it holds no target model of tierwise" in fault(tmp_path)


def test_a_configuration_is_gone_on_with(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    first = """
        [federation]
        name = "digits"
        [fleet]
        devices = 6
        [grouping]
        groups = 1
        [tiers]
        provider = "mlp"
        hidden = [[8]]
        [stop]
        rounds = 2
    """
    inner = first.replace("[tiers]", '[tiers]\nprovider = "warm"\ndirectory = "first"\n[tiers.inner]')
    for name, text in (("first", first), ("second", inner)):
        (tmp_path / f"{name}.toml").write_text(text)
        out = tmp_path / name
        # Not from the folder of the file, where a relative directory starts all the same.
        code, _, err = here("simulate", tmp_path / f"{name}.toml", "--out", out)
        assert code == 0, err
    ended, began = (
        card["metrics"]["log_loss"]["value"] for d in ("first", "second") for card in cards(tmp_path / d).values()
    )
    assert began < ended
    started = json.loads((tmp_path / "second/result.json").read_bytes())["events"]
    models = [record["event"]["model"] for record in started if record["event"]["event"] == "tier-assigned"]
    assert models == [card["sha256"] for card in cards(tmp_path / "first").values()]


def test_a_fault_of_the_inner_provider_has_its_key(earlier: Path) -> None:
    for inner, key in (
        ({"provider": "mpl"}, "tiers.inner.provider"),
        ({"provider": "mlp", "hidden": [[0]]}, "tiers.inner.hidden"),
        ({"hidden": [[1]]}, "tiers"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            plugins().tier_provider("warm", {"directory": str(earlier), "inner": inner}, where="tiers")
        assert caught.value.key == key
