"""A coordinator and six agents, each a process, over mosquitto."""

import json
import os
import signal
import subprocess
from datetime import datetime

import pytest

from tests.runtime.broker import running
from tests.runtime.programs.nothing_lost import events, targets
from tests.runtime.programs.processes import PROGRAM, STORE, configuration, scene, tierwise


def test_a_federation_from_the_first_hello_to_the_models_on_every_disk(stage, here) -> None:
    file = configuration(stage.folder / "run.toml", stage.broker, more=STORE)
    coordinator = stage.start("coordinator", "coordinator", file, "--out", "result", "--log-json")
    agents = stage.agents("--log-json")
    assert coordinator.wait() == 0, coordinator.err.read_text()
    assert [agent.wait() for agent in agents] == [0] * 6

    lines = coordinator.lines()
    assert all(set(line) & {"event", "notice", "log", "result"} and line["time"].endswith("Z") for line in lines)
    assert lines[0]["log"] == "tierwise"
    assert {line["group"] for line in events(coordinator, "group-finished")} == {"g1", "g2"}
    report = lines[-1]["report"]
    assert [(group["group"], group["devices"], group["rounds"]) for group in report["run"]["groups"]] == [
        ("g1", 3, 3),
        ("g2", 3, 3),
    ]
    of_group = targets(stage.folder)
    assert {group: (len(models), len(set(models))) for group, models in of_group.items()} == {
        "g1": (3, 1),
        "g2": (3, 1),
    }
    written = json.loads((stage.folder / "result/result.json").read_text())
    for name in (name for name in written["files"] if name.endswith(".safetensors")):
        assert (stage.folder / "result" / name).read_bytes() == of_group[name.split("-")[0]][0]

    said = agents[0].lines()
    assert [line["sent"] for line in said if "sent" in line].count("update") == 3
    assert {line["received"] for line in said if "received" in line} >= {"welcome", "round", "target", "dismissed"}

    code, out, err = here("status", file)
    assert (code, err) == (0, "")
    assert "federation clouds: finished; no coordinator runs" in out
    assert "task clouds, schema " in out
    standing = json.loads(here("status", stage.folder / "run.db", "--json")[1])
    assert (standing["stage"], standing["reachable"], standing["running"]) == ("finished", 6, None)
    assert [group["phase"] for group in standing["groups"]] == ["finished"] * 2
    assert standing["hardware"]["d4"]["quantities"]["cpu_flops"] == {"value": 1e11, "origin": "declared"}
    code, out, _ = here("status", file, "--device", "d4")
    rows = {line.split()[0]: line.split() for line in out.splitlines()[2:]}
    assert (code, rows["cpu_flops"][1:]) == (0, ["100", "GFLOP/s", "1e+11", "declared"])
    assert rows["cpu_count"][-1] == "measured"
    code, _, err = here("status", file, "--device", "d44")
    assert (code, err) == (
        2, "error: --device: there is no device 'd44' in federation clouds (did you mean 'd4'?)\n"
    )  # fmt: skip

    explained = json.loads(here("explain", file, "--store", "--json")[1])
    assert [(group["devices"], group["tier"]) for group in explained["groups"]] == [
        (["d0", "d1", "d2"], "mlp-4"),
        (["d3", "d4", "d5"], "mlp-16"),
    ]
    assert explained["devices"][0]["profile"]["quantities"]["memory_bytes"] == {"value": 600, "origin": "declared"}


def test_a_readable_log_ends_in_the_table(stage) -> None:
    file = configuration(stage.folder / "run.toml", stage.broker, name="plain", rounds=1)
    file.write_text(file.read_text().replace("max_samples = 30", "max_samples = 30\ntraffic_bytes = 100"))
    coordinator = stage.start("coordinator", "coordinator", file)
    agents = stage.agents(name="plain")
    assert coordinator.wait() == 0
    assert [agent.wait() for agent in agents] == [0] * 6
    said, shown = coordinator.err.read_text(), coordinator.out.read_text()
    for words in (
        "warning: without [store] path all is in memory",
        "warning: without [security] registry no message is signed",
        "federation plain opened: waiting for 6 devices",
        "groups, weakest first: g1 (d0, d1, d2); g2 (d3, d4, d5)",
        "warning: g2: tier mlp-4 asks too much of 3 of its 3 devices (d3: a round moves ",
        "g1: round 1 closed with 3 devices, accuracy 0.",
        "g2: finished with version 1: 1 round",
    ):
        assert words in said
    assert "simulated" not in shown
    assert shown.splitlines()[0].split()[:3] == ["group", "devices", "tier"]
    heard = agents[0].err.read_text()
    assert "in g1, with tier mlp-" in heard
    assert "written to model-0/g1-1.safetensors, sha256 " in heard


def test_signed_and_sealed_with_bundles(stage, tmp_path) -> None:
    stage.enrol("signed", 3)
    more = '[security]\nregistry = "registry"\n'
    file = configuration(tmp_path / "run.toml", stage.broker, name="signed", devices=3, groups=1, rounds=1, more=more)
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    agents = stage.agents(count=3)
    where = ("--broker", stage.broker, "--federation", "signed", "--data", "clouds:part=0,parts=9")
    stranger = stage.start("stranger", "agent", *where, "--id", "stranger")
    assert coordinator.wait() == 0, coordinator.err.read_text()
    assert [agent.wait() for agent in agents] == [0] * 3
    assert {line["device"] for line in events(coordinator, "device-enrolled")} == {"d0", "d1", "d2"}
    assert not any("no message is signed" in str(line) for line in coordinator.lines())
    assert sum(len(models) for models in targets(tmp_path).values()) == 3
    assert stranger.told(signal.SIGTERM) == 143
    assert (tmp_path / "registry/coordinator.boot.json").exists()


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(stage, here, sign, code) -> None:
    name = f"told-{code}"
    file = configuration(
        stage.folder / "run.toml", stage.broker, name=name, devices=3, groups=1, rounds=400, more=STORE
    )
    coordinator = stage.start("coordinator", "coordinator", file, "--out", "result")
    agents = stage.agents(name=name, count=3)
    coordinator.until(lambda one: "round 3 closed" in one.err.read_text())
    assert agents[2].told(sign) == code
    assert "stopped; the same command joins again" in agents[2].err.read_text()
    assert coordinator.told(sign) == code
    assert f"stopped; all is in the store: `tierwise coordinator {file}` goes on with it" in coordinator.err.read_text()
    assert coordinator.out.read_text().startswith("interrupted; this is how far it came:\n")
    assert json.loads((stage.folder / "result/result.json").read_text())["interrupted"] is True
    assert "federation" in here("status", file)[1]


def test_a_second_coordinator_of_a_store_does_not_say_that_it_goes_on(stage) -> None:
    file = configuration(stage.folder / "run.toml", stage.broker, name="twice", more=STORE)
    first = stage.start("first", "coordinator", file)
    first.until(lambda one: "federation twice opened" in one.err.read_text())
    second = stage.start("second", "coordinator", file)
    assert second.wait() == 1
    assert "another coordinator (process" in second.err.read_text()
    assert "going on" not in second.err.read_text()
    assert first.told(signal.SIGTERM) == 143
    third = stage.start("third", "coordinator", file)
    third.until(lambda one: "going on where the store stands, after 1 records" in one.err.read_text())
    assert third.told(signal.SIGTERM) == 143


def test_a_device_that_was_away_gets_its_model_when_it_returns(stage) -> None:
    file = configuration(
        stage.folder / "run.toml", stage.broker, name="away", devices=4, rounds=30, deadline_s=2, groups=1, more=STORE
    )
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json", "--linger", 60)
    agents = stage.agents(name="away", count=4)
    coordinator.until(lambda one: len(events(one, "round-closed")) >= 2)
    agents[0].process.kill()
    agents[0].wait()
    coordinator.until(lambda one: bool(events(one, "federation-finished")))
    assert stage.agent(0, name="away").wait() == 0
    assert [agent.wait() for agent in agents[1:]] == [0] * 3
    (models,) = targets(stage.folder).values()
    assert (len(models), len(set(models))) == (4, 1)
    assert coordinator.told(signal.SIGTERM) == 0
    assert coordinator.lines()[-1]["report"]["interrupted"] is False


def test_a_store_whose_federation_has_ended_says_so_to_everybody(stage, here) -> None:
    file = configuration(
        stage.folder / "run.toml", stage.broker, name="over", devices=3, groups=1, rounds=1, more=STORE
    )
    first = stage.start("coordinator", "coordinator", file)
    agents = stage.agents(name="over", count=3)
    assert first.wait() == 0, first.last_words()
    assert [agent.wait() for agent in agents] == [0] * 3
    ended = json.loads(here("status", file, "--json")[1])["written"]

    stranger = stage.start(
        "stranger", "agent", "--broker", stage.broker, "--federation", "over", "--data", "clouds", "--id", "stranger"
    )
    stranger.until(lambda one: "said hello" in one.err.read_text())
    known = stage.agent(0, name="over")
    known.until(lambda one: "said hello" in one.err.read_text())
    again = stage.start("again", "coordinator", file)
    assert (known.wait(), stranger.wait()) == (0, 1)
    assert "error: the coordinator refused device 'stranger': the federation has ended" in stranger.err.read_text()
    assert again.wait() == 0
    when = f"{datetime.fromisoformat(ended).astimezone():%Y-%m-%d at %H:%M:%S}"
    assert f"federation over has ended on {when}: with this store nothing more is learned" in again.err.read_text()
    assert f"To learn anew, name another store.path in {file}, or rm -r {stage.folder / 'run.db'}*" in (
        again.err.read_text()
    )
    assert "going on" not in again.err.read_text()
    assert json.loads(here("status", file, "--json")[1])["written"] == ended


def test_a_store_has_one_coordinator(stage, here) -> None:
    file = configuration(stage.folder / "run.toml", stage.broker, name="alone", more=STORE)
    first = stage.start("first", "coordinator", file, "--log-json")
    first.until(lambda one: bool(events(one, "federation-opened")))
    code, _, err = tierwise("coordinator", file)
    assert code == 1
    assert str(first.process.pid) in err
    assert f"its coordinator runs (process {first.process.pid})" in here("status", file)[1]
    assert first.told(signal.SIGTERM) == 143


def test_a_device_of_another_task_is_refused(stage) -> None:
    file = configuration(stage.folder / "run.toml", stage.broker, name="refusing")
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    coordinator.until(lambda one: bool(events(one, "federation-opened")))
    code, _, err = tierwise(
        "agent", "--broker", stage.broker, "--federation", "refusing", "--data", "digits:parts=9", "--id", "other"
    )
    assert code == 1
    assert "error: the coordinator refused device 'other': " in err
    assert err.count("refused") == 1  # it is said once
    assert coordinator.told(signal.SIGTERM) == 143


def test_user_and_password_come_from_a_file(tmp_path) -> None:
    users = {"coordinator": "c0", **{f"d{number}": "s3cret" for number in range(3)}}
    folder = tmp_path / "broker"
    folder.mkdir()
    (tmp_path / "own").write_text("c0\n")
    (tmp_path / "theirs").write_text("s3cret\n")
    with running(folder, users=users) as one, scene(tmp_path, f"mqtt://{one.host}:{one.port}") as stage:
        file = configuration(tmp_path / "run.toml", stage.broker, devices=3, groups=1, rounds=1)
        file.write_text(file.read_text() + 'username = "coordinator"\npassword_file = "own"\n')
        coordinator = stage.start("coordinator", "coordinator", file)
        agents = stage.agents("--password-file", "theirs", count=3)
        assert coordinator.wait() == 0, coordinator.err.read_text()
        assert [agent.wait() for agent in agents] == [0] * 3
        (tmp_path / "theirs").write_text("guessed\n")
        code, _, err = tierwise(
            "agent",
            "--broker",
            stage.broker,
            "--data",
            "clouds",
            "--id",
            "d0",
            "--password-file",
            "theirs",
            cwd=tmp_path,
        )
        assert code == 1
        assert "refuses user 'd0'" in err
        assert "guessed" not in err


def test_an_agent_loads_neither_polars_nor_rich_nor_scikit_learn() -> None:
    code = (
        "import sys\nfrom tierwise.runtime.cli.program import run\n"
        "assert run(['agent', '--broker', 'mqtt://127.0.0.1:1', '--data', 'clouds:part=x']) == 2\n"
        "print(sorted({'polars', 'rich', 'sklearn', 'scipy', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [PROGRAM[0], "-c", code], capture_output=True, text=True, check=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
