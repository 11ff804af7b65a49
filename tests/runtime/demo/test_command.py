"""The demonstration as a user has it: one document, a directory, a page."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from tierwise.runtime.cli.program import run as tierwise
from tierwise.runtime.demo.brought import Wanted
from tierwise.runtime.demo.command import demo
from tierwise.runtime.demo.comparison import Comparison, SeedResult, compare
from tierwise.runtime.demo.conclusion import conclusion
from tierwise.runtime.demo.introduction import introduction
from tierwise.runtime.demo.page import comparison_section, sections_of
from tierwise.runtime.demo.plan import ArmName, Plan

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, wanted: Wanted) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [Path(sys.executable).parent / "tierwise", "demo", "--seeds", "1", "--json", "--out", out]
    mine = ["--data", wanted.data, "--fleet", wanted.fleet]
    done = subprocess.run([*command, *mine], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_command_prints_one_document(written: tuple[Path, dict[str, object]], result: SeedResult) -> None:
    _, document = written
    figures = msgspec.convert(document["figures"], Comparison)
    assert [arm.name for arm in figures.arms] == list(ArmName)
    assert (figures.seeds, figures.devices, figures.public) == ((0,), 12, 60)
    for arm in figures.arms:
        assert arm.accuracy.values == (result.outcomes[arm.name].accuracy,)


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


def test_the_page_has_the_comparison_and_can_be_made_again(written: tuple[Path, dict[str, object]]) -> None:
    out, document = written
    page = (out / "report.html").read_text()
    assert comparison_section(msgspec.convert(document["figures"], Comparison)) in page
    assert tierwise(["report", str(out)]) == 0
    assert (out / "report.html").read_text() == page


def test_figures_of_something_else_add_nothing_to_a_page() -> None:
    assert sections_of(None) == sections_of({"seeds": 3}) == []


def test_the_rules_are_told_before_and_what_it_comes_to_after(plan: Plan, result: SeedResult) -> None:
    told = introduction(plan, 2, yours=True)
    for text in (
        "12 devices share 300 samples of 'digits'",
        "60 samples without labels",
        "3 groups by compute",
        "90 % of the best",
        "2 seeds",
    ):
        assert text in told
    assert "beside isolated groups" in conclusion(compare([result]))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--mqtt", "--fleet", "x.csv"], "--fleet is for simulated fleets"),
        (["--mqtt", "--data", "digits"], "--data is for simulated fleets"),
    ],
)
def test_what_does_not_go_together_is_told(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(demo, arguments)
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "digits:alhpa=3"], "--data digits:alhpa=3: there is no key 'alhpa' (did you mean 'alpha'?)"),
        (["--fleet", "nowhere.csv"], "error: nowhere.csv: cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments: list[str], told: str, capsys) -> None:
    assert tierwise(["demo", *arguments]) == 2
    assert told in capsys.readouterr().err
