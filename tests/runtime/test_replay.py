"""``tierwise replay``, on stores of runs that finished, crashed, failed or were damaged."""

import asyncio
import contextlib
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys

import anyio
import msgspec
import pytest

from tierwise.core import events as e
from tierwise.runtime.compute import InlineCompute
from tierwise.runtime.figures import Run
from tierwise.runtime.output import make_report, write_result
from tierwise.runtime.report.making import make_page
from tierwise.runtime.simulation.run import run_virtually
from tierwise.runtime.stores.sqlite import SqliteStore

from .helpers import coordinator, simulated, specs

PROGRAM = [sys.executable, "-c", "from tierwise.runtime.cli import main; main()"]


class Crash(Exception):  # noqa: N818  (nobody catches it by mistake)
    """The coordinator's process dies."""


class CrashingStore(SqliteStore):
    """A store whose user dies before one of its appends."""

    def __init__(self, path, last):
        super().__init__(path, compute=InlineCompute())
        self.left = last

    async def append(self, records):
        if self.left == 0:
            raise Crash
        self.left -= 1
        await super().append(records)


def federate(path, appends=-1, devices=9):
    """Run the small federation on virtual time, maybe not to its end."""
    store = CrashingStore(path, appends)

    async def main():
        fleet = simulated(specs(devices))
        async with anyio.create_task_group() as tasks:
            with contextlib.suppress(Crash):
                async with coordinator(fleet, store) as running:
                    tasks.start_soon(fleet.run)
                    await running.result()
            tasks.cancel_scope.cancel()

    run_virtually(main())
    return store


@pytest.fixture
def replay(here, monkeypatch):
    """Run the command in this process, in a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")
    return functools.partial(here, "replay")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run.db"
    federate(path)
    return path


def records_of(path):
    return asyncio.run(SqliteStore(path).records())


def test_help_explains_with_examples(replay):
    code, out, _ = replay("--help")
    assert code == 0
    assert "Examples:\n    tierwise replay" in out


def test_a_finished_run_has_a_line_for_each_event_and_a_table(replay, finished):
    code, out, err = replay(finished)
    assert (code, err) == (0, "")
    records = records_of(finished)
    lines = out.splitlines()
    assert lines[len(records)] == ""
    for line, record in zip(lines, records, strict=False):
        at, _, what = line.partition(" s  ")
        assert float(at.replace(",", "")) == pytest.approx(record.at, abs=6e-4)
        assert what
    assert "d3 joined" in out
    assert ": round 1 closed with 3 devices, accuracy 0." in out
    assert "the federation has finished" in lines[len(records) - 1]
    table = lines[len(records) + 1 :]
    assert table[0].split()[:4] == ["group", "devices", "tier", "parameters"]
    assert [line.split()[0] for line in table[2:5]] == ["g1", "g2", "g3"]
    assert any(line.startswith("all hold-outs ") for line in table)
    assert "not ended" not in out
    assert "simulated" not in out  # a store is that of a real run


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run.toml", "is a configuration, and replay reads the store of a federation: name the file that is its"),
        ("result.json", "is a result, which has the event log already, under `events`; replay reads the store of a"),
    ],
)
def test_what_goes_with_a_store_is_not_told_as_a_damaged_one(replay, tmp_path, name, said):
    path = tmp_path / name
    path.write_text("x")
    code, out, err = replay(path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: {said}")


@pytest.mark.parametrize("command", ["status", "replay"])
def test_a_results_directory_is_told_from_a_store(here, tmp_path, command):
    out = tmp_path / "out"
    out.mkdir()
    assert here(command, out)[::2] == (
        2,
        (
            f"error: {out}: is a directory; {command} reads the store of a federation, the file that a configuration "
            "has as its store.path\n"
        ),
    )
    (out / "result.json").touch()
    assert here(command, out)[::2] == (
        2,
        (
            f"error: {out}: is a result, which has the event log already, under `events`; {command} reads the store of "
            "a federation, the file that a configuration has as its store.path. "
            f"`tierwise report {out}` makes a page of a result, `tierwise evaluate {out} --data SPEC` measures its "
            "models\n"
        ),
    )
    assert here(command, tmp_path / "none")[::2] == (2, f"error: {tmp_path}/none: there is no such file\n")


@pytest.mark.parametrize("command", ["explain", "simulate", "coordinator"])
def test_a_store_is_told_from_a_configuration(finished, here, command):
    assert here(command, finished)[::2] == (
        2,
        (
            f"error: {finished}: is a store of a federation, not a TOML file: `tierwise status {finished}` shows where "
            f"the federation stands, `tierwise replay {finished}` what happened in it\n"
        ),
    )


def test_reading_changes_nothing(replay, finished):
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in finished.parent.rglob("*")}
    replay(finished)
    assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in finished.parent.rglob("*")} == before


def test_json_is_the_result_with_the_event_log(replay, finished, tmp_path):
    code, out, err = replay(finished, "--json", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document == json.loads((tmp_path / "out" / "result.json").read_text())
    assert document["interrupted"] is False
    assert document["events"] == json.loads(msgspec.json.encode(records_of(finished)))


def test_out_has_the_same_files_as_the_run_itself(replay, finished, tmp_path):
    run = asyncio.run(Run.read(SqliteStore(finished)))
    write_result(tmp_path / "run", run, make_report(run), make_page(run, make_report(run)).page)
    code, out, _ = replay(finished, "--out", tmp_path / "replay")
    assert code == 0
    assert f"written to {tmp_path / 'replay'}: result.json, 3 target models, report.html" in out
    names = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert len(names) == 8
    assert names == sorted(file.name for file in (tmp_path / "replay").iterdir())
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "replay" / name).read_bytes()


@pytest.mark.parametrize(
    ("appends", "words"),
    [
        (1, ["enrolling: 0 devices joined, 0 of them reported their hardware"]),
        (8, ["enrolling: "]),
        (40, ["g1 waits for ", "until "]),
    ],
)
def test_a_crashed_run_is_shown_as_far_as_it_came(replay, tmp_path, appends, words):
    path = tmp_path / "run.db"
    federate(path, appends)
    code, out, err = replay(path)
    assert (code, err) == (0, "")
    assert "not ended: no coordinator has the store; one that is started with it goes on from here:\n" in out
    for word in words:
        assert word in out
    code, out, _ = replay(path, "--json", "--out", tmp_path / "out")
    assert code == 0
    assert json.loads(out)["interrupted"] is True
    assert len(json.loads(out)["events"]) == len(records_of(path))


def test_it_can_be_stopped_anywhere_and_replayed(tmp_path, finished):
    from click.testing import CliRunner

    from tierwise.runtime.cli.replay import replay as command

    for appends in range(2, 80, 3):
        path = tmp_path / f"{appends}.db"
        federate(path, appends)
        done = CliRunner().invoke(command, [str(path)])
        assert done.exit_code == 0, done.exception
        assert "not ended" in done.output or appends > 70


def test_while_a_coordinator_has_it(replay, tmp_path):
    path = tmp_path / "run.db"
    federate(path, 30)

    async def main():
        async with SqliteStore(path).open():
            return await anyio.to_thread.run_sync(replay, path)

    code, out, _ = anyio.run(main)
    assert code == 0
    assert f"not ended: a coordinator (process {os.getpid()}) has the store" in out


def test_a_damaged_log_is_shown_as_far_as_it_can_be_read(replay, tmp_path):
    path = tmp_path / "run.db"
    federate(path)
    with contextlib.closing(sqlite3.connect(path)) as connected, connected:
        connected.execute("UPDATE records SET payload = x'00' WHERE sequence = 30")
    code, out, err = replay(path, "--out", tmp_path / "out")
    assert code == 1
    assert out.splitlines()[30] == ""
    assert "the rest of the log cannot be read; this is how far it came:" in out
    assert err.startswith(f"error: {path}: record 30 does not have its checksum. ")
    assert err.count("\n") == 1
    assert "written to" not in out
    assert not list((tmp_path / "out").iterdir())


def test_a_lost_target_model_only_matters_where_it_is_wanted(replay, tmp_path):
    path = tmp_path / "run.db"
    store = federate(path)
    model = next(r.event.model for r in records_of(path) if isinstance(r.event, e.GroupFinished))

    async def lose() -> None:
        async with store.open():
            await store.delete([model])

    anyio.run(lose)
    assert replay(path)[0] == 0
    code, out, err = replay(path, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: blob {model} is not in the store")
    assert store.path == path


def test_a_federation_that_failed_is_shown(replay, tmp_path):
    path = tmp_path / "run.db"

    async def main():
        store = SqliteStore(path)
        async with store.open():
            await store.append([e.Record(sequence=0, at=0.0, event=records[0].event)])
            failed = e.FederationFailed(reason="too few devices", too_few_devices=2)
            await store.append([e.Record(sequence=1, at=60.0, event=failed)])

    federate(tmp_path / "other.db", 1)
    records = records_of(tmp_path / "other.db")
    anyio.run(main)
    code, out, _ = replay(path)
    assert code == 0
    assert out.startswith(" 0.000 s  federation test opened")
    assert "\n60.000 s  the federation has failed: too few devices\n" in out
    assert "not ended" not in out


def test_a_store_in_which_nothing_happened(replay, tmp_path):
    path = tmp_path / "run.db"
    federate(path, 0)
    code, out, _ = replay(path)
    assert code == 0
    assert "the log is empty: no federation was opened yet" in out


@pytest.mark.parametrize("name", ["none.db", "."])
def test_where_there_is_no_store(replay, tmp_path, name):
    code, out, err = replay(tmp_path / name)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_what_is_no_store(replay, tmp_path):
    path = tmp_path / "run.txt"
    path.write_text("[federation]\n" * 100)
    code, out, err = replay(path)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {path}: this is no SQLite file, and so no store")


def test_a_reader_that_has_seen_enough(finished):
    with subprocess.Popen([*PROGRAM, "replay", str(finished), "--json"], stdout=subprocess.PIPE, stderr=-1) as process:
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, -signal.SIGPIPE)
