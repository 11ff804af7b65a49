"""What the documentation and the examples say is run."""

import functools
import json
import logging
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import pytest

from tests.runtime import helpers
from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.mqtt import ends
from tierwise import runtime
from tierwise.runtime.cli.program import run

ROOT = Path(__file__).parent.parent
SMALL = {
    "settings": helpers.settings(3),
    "policies": helpers.policies(groups=1, aggregation=runtime.AggregatorChoice()),
}
"""A federation of three devices."""


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_a_federation_in_thirty_lines_runs() -> None:
    example = ROOT / "examples/memory.py"
    assert len(example.read_text().splitlines()) <= 30
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["g1: mlp-8", "g2: mlp-64", "g3: mlp-512"]


def test_the_embedded_federation_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/embed.py"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" got mlp-") == 9
    assert len(re.findall(r"^g\d: mlp-\d+, accuracy 0\.\d+, 10 rounds$", done.stdout, re.MULTILINE)) == 3


def embedded(snippet: int, **names: object):
    """Return a code block of the how-to on embedding as a coroutine function, which returns the federation's result."""
    block = blocks(ROOT / "docs/howto/embed-a-coordinator.md", "python")[snippet]
    program: dict = {name: getattr(runtime, name) for name in runtime.__all__} | names
    exec(f"async def main():\n{textwrap.indent(block, '    ')}\n    return result", program)
    return program["main"]


async def with_devices(main, network) -> runtime.FederationResult:
    """Run it, and three devices that join it."""
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(functools.partial(helpers.live, number, network))
        return await main()


def test_the_coordinator_of_the_how_to_runs(caplog: pytest.LogCaptureFixture) -> None:
    network = runtime.MemoryNetwork()
    caplog.set_level(logging.INFO)
    main = embedded(0, network=network, log=logging.getLogger(), **SMALL)
    result = anyio.run(with_devices, main, network)
    assert [(group.group, group.version) for group in result.groups] == [("g1", 2)]
    assert "FederationFinished" in caplog.text


@needs_mosquitto
def test_the_coordinator_of_the_how_to_runs_over_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broker").mkdir()
    with running(tmp_path / "broker") as broker:
        there = {"broker": f"mqtt://{broker.host}:{broker.port}"}  # instead of the usual port
        settings = lambda **given: runtime.MqttSettings(**{**given, **there})  # noqa: E731
        network = MqttNetwork(settings(broker="", federation="digits"))
        main = embedded(1, MqttSettings=settings, **SMALL)
        result = anyio.run(with_devices, main, network)
    assert [(group.group, group.version) for group in result.groups] == [("g1", 2)]
    assert (tmp_path / "digits.db").exists()


class MqttNetwork:
    """What `MemoryNetwork` is to the devices."""

    def __init__(self, settings: runtime.MqttSettings) -> None:
        self.settings = settings

    def agent(self, device: str):
        return ends.agent(self.settings, device)


@needs_mosquitto
def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    (commands,) = blocks(ROOT / "README.md", "sh")
    (tmp_path / "examples").mkdir()
    (tmp_path / "broker").mkdir()
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    with running(tmp_path / "broker") as broker:
        here = f"mqtt://localhost:{broker.port}"  # instead of the usual port, which others may use
        file = (ROOT / "examples/mqtt.toml").read_text()
        (tmp_path / "examples/mqtt.toml").write_text(file.replace("mqtt://localhost", here))
        done = subprocess.run(
            ["bash", "-ec", commands.replace("mqtt://localhost", here)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "federation digits: finished" in done.stdout
    models = {path.read_bytes() for path in tmp_path.glob("digits/*.safetensors")}
    own = [path.read_bytes() for path in tmp_path.glob("models/device-*/*.safetensors")]
    assert (len(own), set(own)) == (9, models)


GROUPINGS = ROOT / "docs/howto/choose-a-grouping.md"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 0
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_the_output_in_the_how_to_on_groupings_is_what_comes_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    shown = blocks(GROUPINGS, "text")
    assert len(shown) == 2
    for block in shown:
        command, _, output = block.partition("\n")
        assert printed(capsys, *command.removeprefix("$ tierwise ").split()) == output.rstrip("\n")


def test_the_how_to_on_groupings_compares_what_they_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    example = (ROOT / "examples/deadline.toml").read_text()
    before, _, rest = example.partition("[grouping]")
    after = rest[rest.index("[tiers]") :]
    rows = re.findall(r"^\| `\w+` \| [^|]+ \| [^|]+ \| \d+ \| \d+ \|$", GROUPINGS.read_text(), re.MULTILINE)
    tables = blocks(GROUPINGS, "toml")
    assert len(tables) == len(rows) == 4
    for table, row in zip(tables, rows, strict=True):
        (tmp_path / "run.toml").write_text(f"{before}{table}\n{after}")
        found = json.loads(printed(capsys, "explain", str(tmp_path / "run.toml"), "--json"))
        groups = found["groups"]
        cells = (
            f"`{found['policy']}`",
            ", ".join(str(len(group["devices"])) for group in groups),
            ", ".join(group["tier"] for group in groups),
            str(sum(group["carry_more"] for group in groups)),
            str(len(found["unplaced"])),
        )
        assert row == f"| {' | '.join(cells)} |"


def test_the_example_on_deadlines_runs_as_it_was_predicted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Who is said to carry its tier delivers in every round; the two who are not, in none."""
    out = tmp_path / "deadline"
    assert run(["simulate", str(ROOT / "examples/deadline.toml"), "--out", str(out)]) == 0
    assert "g1: tier mlp-8 asks too much of 2 of its 8 devices" in capsys.readouterr().err
    events = [record["event"] for record in json.loads((out / "result.json").read_bytes())["events"]]
    closed = [event for event in events if event["event"] == "round-closed"]
    assert {group: [e["devices"] for e in closed if e["group"] == group] for group in ("g1", "g2", "g3")} == {
        "g1": [6] * 10,
        "g2": [39] * 10,
        "g3": [13] * 10,
    }


def test_what_the_guarantees_rest_on_is_there() -> None:
    page = ROOT / "docs/explanation/guarantees.md"
    named = re.findall(r"\[`(\w+)`\]\(([\w./]+)\)", page.read_text())
    assert len(named) > 50
    for name, file in named:
        there = (page.parent / file).resolve()
        assert there.is_relative_to(ROOT / "tests")
        assert re.search(rf"^\s*(async )?def {name}\(", there.read_text(), re.MULTILINE), f"{file} has no {name}"
    for row in re.findall(r"^\| .* \|$", page.read_text(), re.MULTILINE):
        assert row.startswith("| guaranteed") or "](../../tests/" in row, f"no test shows: {row[:80]}"


def test_why_groups_has_the_figures_of_the_readmes_demonstration() -> None:
    readme, page = (ROOT / "README.md").read_text(), (ROOT / "docs/explanation/why-groups.md").read_text()
    taken = re.findall(r"\d+\.\d %|\d+\.\d ms|\b\d,\d{3}\b|\b0\.\d{3}\b", page.partition("On Fashion-MNIST")[0])
    assert len(taken) >= 10
    assert [figure for figure in taken if figure not in readme] == []
