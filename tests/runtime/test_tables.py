"""A run's figures as people see them, in narrow and in wide terminals."""

import re
from pathlib import Path

import msgspec
import pytest

from tierwise.core.ids import GroupId, ModelVersion, TierName
from tierwise.core.metrics import MetricFigure
from tierwise.runtime.cli.tables import show_report
from tierwise.runtime.evaluation import ClassFigures, Evaluation, GroupEvaluation, WorstTenth
from tierwise.runtime.figures import RunFigures
from tierwise.runtime.group_figures import GroupFigures
from tierwise.runtime.output import Report, Versions

CLASSES = {"accuracy": 0.9034, "log_loss": 0.2871, "auc": 0.98765}
NUMBERS = {"rmse": 53126.4, "mae": 12.3456}
MANY = CLASSES | {f"recall_of_class_{number}": 0.5 + number / 100 for number in range(8)}


def figures(values, count=119):
    return {name: MetricFigure(value=value, count=count) for name, value in values.items()}


def group(name, values, *, test, **other):
    told = {
        "group": GroupId(name), "rank": 0, "devices": 20, "contributed": 20, "tier": TierName("mlp-512-256"),
        "parameters": 1_238_410, "rounds": 20, "abandoned": 1, "version": ModelVersion(20), "metrics": figures(values),
        "test": figures({next(iter(values)): values[next(iter(values))] * 0.9}) if test else {},
        "download_bytes": 12_345_678, "upload_bytes": 12_345_678, "energy_j": 1234.5, "simulated_s": 125.0,
        "finished": True,
        "failed": False, "reason": "20 rounds", "history": (),
    }  # fmt: skip
    return GroupFigures(**told | other)


def report(values, *, groups=("g1", "g2", "g3"), test=False, hidden="", closing=True, **other) -> Report:
    metric = next(iter(values))
    evaluation = Evaluation(
        version=ModelVersion(20),
        closing=closing,
        devices=60,
        metrics=figures(values, 357),
        groups=tuple(
            GroupEvaluation(
                group=GroupId(name), version=ModelVersion(20), closing=closing, devices=20, metrics=figures(values)
            )
            for name in groups
        ),
        classes=tuple(
            ClassFigures(name=name, devices=30, metrics=figures(values, 178))
            for name in ("1 to 10 GFLOP/s", "100 GFLOP/s to 1 TFLOP/s")
        ),
        worst_tenth=WorstTenth(
            metric=metric, devices=0 if hidden else 6, value=None if hidden else values[metric] / 2, hidden=hidden
        ),
    )
    run = RunFigures(
        groups=tuple(group(name, values, test=test, **other) for name in groups),
        unplaced={}, failure=None, metric=metric, rounds=60, abandoned=3, download_bytes=37_037_034,
        upload_bytes=37_037_034, energy_j=3703.5, simulated_s=130.0, evaluation=evaluation, history=(evaluation,),
    )  # fmt: skip
    return Report(interrupted=False, seed=0, run=run, versions=Versions.here())


@pytest.fixture
def shown(capsys, monkeypatch):
    def show(width, made, **options) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        show_report(made, **options)
        return capsys.readouterr().out.splitlines()

    return show


def row(lines, label) -> list[str]:
    """Return what stands behind a row's label; the last such row."""
    (*_, found) = [line for line in lines if line.startswith(f"{label} ")]
    return re.split(r" {2,}", found[len(label) :].strip())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("values", [CLASSES, NUMBERS, MANY], ids=["classes", "numbers", "many"])
def test_no_line_is_cut_or_folded(shown, width, values, test, simulated) -> None:
    lines = shown(width, report(values, test=test), simulated=simulated)
    assert max(len(line) for line in lines if not line.startswith("also measured")) <= width
    assert not any(line.endswith(" ") for line in lines), "who copies it has no spaces at the ends of lines"
    text = "\n".join(lines)
    assert "…" not in text
    labels = [line.split("  ")[0] for line in lines if line and not line.startswith("──")]
    for label in ("g1", "in all", "all hold-outs", "1 to 10 GFLOP/s", "worst tenth of devices"):
        assert label in labels
    assert "20 rounds" in text
    assert row(lines, "in all")[-1] == "2 min 10 s"


def test_metrics_are_written_by_their_kind(shown) -> None:
    lines = shown(80, report(CLASSES))
    assert row(lines, "all hold-outs") == ["60", "357", "0.903", "0.287", "0.988"]
    assert row(lines, "worst tenth of devices") == ["6", "0.452", "–", "–"]
    lines = shown(80, report(NUMBERS))
    assert row(lines, "all hold-outs") == ["60", "357", "53,126", "12.35"]
    assert row(lines, "worst tenth of devices") == ["6", "26,563", "–"]


def test_the_coordinators_test_set_stands_beside_the_hold_outs(shown) -> None:
    lines = shown(100, report(CLASSES, test=True))
    assert any(line.endswith("test accuracy") for line in lines)
    assert row(lines, "g1") == ["20", "119", "0.903", "0.287", "0.988", "0.813"]
    assert row(lines, "all hold-outs")[-1] == "–"


def test_what_does_not_fit_is_named(shown) -> None:
    lines = shown(80, report(MANY))
    assert lines[-1].startswith("also measured: recall_of_class_0, ")
    assert lines[-1].endswith("recall_of_class_7; a wider terminal shows them")
    assert not any("also measured" in line for line in shown(300, report(MANY)))


def test_why_there_is_no_worst_tenth_is_said(shown) -> None:
    lines = shown(80, report(CLASSES, hidden="5 devices have a value of their own, it takes 6"))
    assert lines[-1] == "the worst tenth of devices is not shown: 5 devices have a value of their own, it takes 6"
    assert not any(line.startswith("worst tenth") for line in lines)


def test_reasons_have_lines_of_their_own_in_a_narrow_terminal(shown) -> None:
    failed = report(CLASSES, failed=True, reason="aggregator 'mine' of pack 1.0 raised RuntimeError: " + "no " * 20)
    lines = shown(80, failed)
    assert "g1, g2, g3: failed" in lines
    assert any(line.startswith("groups g1, g2, g3 failed: aggregator 'mine'") for line in lines)
    for width in (80, 300):
        assert sum("aggregator 'mine'" in line for line in shown(width, failed)) == 1
        assert not any("aggregator 'mine'" in line for line in shown(width, failed, failures_follow=True))
    assert "ended" in shown(120, report(CLASSES))[0]


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ((0, 0), "2 untrained models (no round closed)"),
        ((0, 3), "1 target model, 1 untrained model (no round closed)"),
        ((3, 3), "2 target models"),
    ],
)
def test_a_model_that_no_round_changed_is_no_target_model(shown, rounds, words) -> None:
    made = report(CLASSES, groups=("g1", "g2"))
    groups = tuple(group(f"g{n}", CLASSES, test=False, version=ModelVersion(n)) for n in rounds)
    files = ("g1-m.safetensors", "g1-m.json", "g2-m.safetensors", "g2-m.json")
    made = msgspec.structs.replace(made, run=msgspec.structs.replace(made.run, groups=groups), files=files)
    assert shown(100, made, directory=Path("out"))[-1] == f"written to out: result.json, {words}"


def test_why_a_group_ended_is_in_one_line(shown) -> None:
    """At 120 columns it is beside the group with less space between columns, below the table if that is not enough."""
    short = "log_loss has not improved on 0.2938 for 3 rounds"
    for reason in (short, short[:24], short * 2):
        lines = shown(120, report(CLASSES, reason=reason), simulated=True)
        assert sum(reason in line for line in lines) in (1, 3)
        assert max(map(len, lines)) <= 120 or reason == short * 2
    assert f"g1, g2, g3: {short * 2}" in lines
    narrower = shown(120, report(CLASSES, reason=short[:24]), simulated=True)
    assert "ended" in "".join(narrower[:2])


def test_models_that_are_not_final_are_called_so(shown) -> None:
    assert "The target models on the devices' hold-outs" in shown(80, report(CLASSES))
    assert "The latest models on the devices' hold-outs" in shown(80, report(CLASSES, closing=False, finished=False))


def test_one_group_needs_no_sum(shown) -> None:
    lines = shown(80, report(CLASSES, groups=("g1",)))
    assert not any(line.startswith(("in all", "all hold-outs")) for line in lines)
