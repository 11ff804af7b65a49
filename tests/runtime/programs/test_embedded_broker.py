"""The embedded broker, and the demonstration over it."""

import json
import os
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.runtime.broker import free_port
from tests.runtime.programs.processes import PROGRAM, Running, configuration, scene, tierwise

pytestmark = pytest.mark.skipif(
    find_spec("amqtt") is None, reason="amqtt is not installed: `pip install 'tierwise[broker]'` brings it"
)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_federation_over_the_embedded_broker(tmp_path) -> None:
    port = free_port()
    with scene(tmp_path, f"mqtt://127.0.0.1:{port}") as stage:
        broker = stage.start("broker", "broker", "--port", port)
        broker.until(lambda _: listens(port))
        file = configuration(tmp_path / "run.toml", stage.broker, devices=3, groups=1)
        coordinator = stage.start("coordinator", "coordinator", file)
        agents = stage.agents(count=3)
        assert coordinator.wait() == 0, coordinator.err.read_text()
        assert [agent.wait() for agent in agents] == [0] * 3
        assert broker.told(signal.SIGTERM) == 143
        assert "Traceback" not in broker.err.read_text()


def children(directory: Path) -> list[int]:
    """Return the processes that work in the demonstration's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc, as on Linux")
def test_ctrl_c_in_the_demonstration_leaves_no_process_behind(tmp_path) -> None:
    mark = tmp_path / "temporary"
    mark.mkdir()
    with (tmp_path / "err").open("wb") as err:
        demo = subprocess.Popen(
            [*PROGRAM, "demo", "--mqtt"],
            stdout=subprocess.DEVNULL,
            stderr=err,
            env={**os.environ, "TMPDIR": str(mark)},
            start_new_session=True,
        )
    deadline = time.monotonic() + 30
    while len(children(mark)) < 6:
        assert demo.poll() is None, (tmp_path / "err").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(10) == 130
    assert children(mark) == []
    assert list(mark.iterdir()) == []


@pytest.mark.slow
def test_the_demonstration_ends_with_a_model_on_every_disk(tmp_path) -> None:
    running = Running(tmp_path, "demo", "demo", "--mqtt", "--out", "result", "--json")
    assert running.wait(115) == 0, running.err.read_text()
    report = json.loads(running.out.read_text())
    groups = report["run"]["groups"]
    assert [(group["group"], group["devices"], group["rounds"]) for group in groups] == [
        ("g1", 3, 10),
        ("g2", 3, 10),
        ("g3", 3, 10),
    ]
    parameters = [group["parameters"] for group in groups]
    assert parameters == sorted(set(parameters))
    assert all(group["metrics"]["accuracy"]["value"] > 0.85 for group in groups)
    assert (tmp_path / "result/result.json").exists()
    assert tierwise("demo", "--help")[0] == 0
