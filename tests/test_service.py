"""The example of a web service: a real server, a real broker, agents that are processes, and HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest

from tests.runtime.broker import HOST, free_port, needs_mosquitto, running
from tests.runtime.programs.processes import PATIENCE_S, Running, Scene, install_pack, scene, tierwise
from tierwise.core import DeviceId
from tierwise.core.events import DeviceReturned
from tierwise.runtime import SqliteStore

SOURCE = Path(__file__).parent.parent / "examples" / "service" / "src"
BUFFER_BYTES = 4096
"""What the kernel holds for a browser that does not read, at each end."""

pytestmark = [needs_mosquitto, pytest.mark.timeout(300)]


class Service:
    """The service as a process, on a socket of ours, so that starting it again finds the port free."""

    def __init__(self, folder: Path, broker: str, **environment: str) -> None:
        told = {"TIERWISE_BROKER": broker, "TIERWISE_FOLDER": str(folder / "kept"), **environment}
        self._environment = {**os.environ, **told}
        self._socket = socket.create_server((HOST, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)  # connections inherit it
        self.port = self._socket.getsockname()[1]
        self.log = folder / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=f"http://{HOST}:{self.port}", timeout=PATIENCE_S)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "uvicorn", "--app-dir", SOURCE, "--fd", str(self._socket.fileno())),
                    *("--factory", "tierwise_service.app:from_environment"),
                ],
                stdout=log,
                stderr=log,
                pass_fds=[self._socket.fileno()],
                env=self._environment,
            )

    def stop(self) -> int:
        """Send SIGTERM and return what it exits with."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.http.close()
        self._socket.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def ask(self, **asked: object) -> httpx.Response:
        return self.http.post("/federations", json=asked)

    @contextmanager
    def events(self, name: str, last: int | None = None) -> Iterator[Iterator[tuple[int, dict]]]:
        """Give the ids and the events that a browser gets until the end."""
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        with self.http.stream("GET", f"/federations/{name}/events", headers=headers) as response:
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            yield parsed(response.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[tuple[int, dict]]:
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(": ")
        if line and key:
            fields[key] = value
        elif fields:
            event = json.loads(fields["data"])
            assert fields["event"] == event["event"]
            yield int(fields["id"]), event
            fields = {}


@pytest.fixture(scope="module", autouse=True)
def pack(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(install_pack(tmp_path_factory.mktemp("pack"))))
        yield


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running(tmp_path_factory.mktemp("broker")) as one:
        yield f"mqtt://{one.host}:{one.port}"


@contextmanager
def served(folder: Path, broker: str, **environment: str) -> Iterator[Service]:
    service = Service(folder, broker, **environment)
    try:
        service.start()
        yield service
    finally:
        service.close()


@pytest.fixture
def service(tmp_path, broker):
    with served(tmp_path, broker) as one:
        yield one


@pytest.fixture
def stage(tmp_path, broker):
    with scene(tmp_path, broker) as made:
        yield made


def agents(stage: Scene, name: str, count: int) -> list[Running]:
    """Start devices; they keep the models that they get."""
    where = ("agent", "--broker", stage.broker, "--federation", name)
    return [
        stage.start(
            *(f"{name}-d{number}", *where, "--id", f"d{number}", "--out", f"{name}/{number}"),
            *("--data", f"clouds:part={number},parts=9", "--declare", f"cpu_flops={(1e9, 1e11)[number >= 3]}"),
        )
        for number in range(count)
    ]


def kept(stage: Scene, name: str, number: int) -> tuple[str, bytes]:
    """Return the group of a device and the model that it keeps."""
    folder = stage.folder / name / str(number)
    card = json.loads((folder / json.loads((folder / "current.json").read_text())["current"]["card"]).read_text())
    return card["group"], (folder / card["file"]).read_bytes()


def compare_models(service: Service, stage: Scene, name: str, count: int) -> None:
    """Make sure that all devices keep what the service gives out."""
    groups = service.http.get(f"/federations/{name}/result").json()["groups"]
    models = {group["group"]: service.http.get(group["model"]) for group in groups}
    assert [model.headers["etag"] for model in models.values()] == [f'"{group["sha256"]}"' for group in groups]
    for number in range(count):
        group, model = kept(stage, name, number)
        assert model == models[group].content
    assert sorted(device for group in groups for device in group["devices"]) == [
        f"d{number}" for number in range(count)
    ]


def closed_rounds(events: list[tuple[int, dict]]) -> int:
    return sum(event["event"] == "round-closed" for _, event in events)


def test_a_federation_from_the_request_to_the_models(service, stage) -> None:
    asked = service.ask(name="clouds", data="clouds", rounds=3, min_devices=6, groups=2)
    assert (asked.status_code, asked.headers["location"]) == (201, "/federations/clouds"), asked.text
    assert service.http.get("/federations/clouds/result").status_code == 409
    with service.events("clouds") as stream:
        started = agents(stage, "clouds", 6)
        seen = list(stream)
    assert [agent.wait() for agent in started] == [0] * 6
    assert [number for number, _ in seen] == list(range(len(seen)))
    assert (seen[0][1]["event"], seen[-1][1]["event"]) == ("federation-opened", "federation-finished")
    assert closed_rounds(seen) == 6
    logged = anyio.run(SqliteStore(stage.folder / "kept/clouds/run.db").records)
    assert [event for _, event in seen] == [json.loads(msgspec.json.encode(record.event)) for record in logged]

    standing = service.http.get("/federations/clouds").json()
    assert (standing["stage"], standing["devices"]) == ("finished", 6)
    assert [(group["group"], group["reason"]) for group in standing["groups"]] == [
        ("g1", "3 rounds"),
        ("g2", "3 rounds"),
    ]
    compare_models(service, stage, "clouds", 6)
    assert service.http.get("/federations/clouds/groups/g3/model").status_code == 404

    with service.events("clouds") as late:
        assert list(late) == seen
    with service.events("clouds", last=seen[-3][0]) as rest:
        assert list(rest) == seen[-2:]
    nothing_more = {"Last-Event-ID": str(seen[-1][0])}
    assert service.http.get("/federations/clouds/events", headers=nothing_more).status_code == 204

    assert service.http.delete("/federations/clouds").status_code == 204
    assert service.http.get("/federations/clouds").status_code == 404
    assert list((stage.folder / "kept").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "no JSON"),
        ("[]", 422, "Expected `object`"),
        ('{"rounds": 3}', 422, "`name`"),
        ('{"name": "../up"}', 422, "$.name"),
        ('{"name": "x", "rounds": 0}', 422, "`int` >= 1 - at `$.rounds`"),
        ('{"name": "x", "min_devices": 2}', 422, "`int` >= 3 - at `$.min_devices`"),
        ('{"name": "x", "deadline": 3}', 422, "`deadline`"),
        ('{"name": "x", "data": "cloud"}', 422, "did you mean 'clouds'?"),
        ('{"name": "there", "data": "clouds"}', 409, "there is a federation 'there' already"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(refusing, body, status, words) -> None:
    answer = refusing.http.post("/federations", content=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert refusing.http.get("/federations").json() == ["there"]


def test_what_is_not_there_is_not_found(refusing) -> None:
    for path in ("x", "x/events", "x/result", "x/groups/g1/model"):
        answer = refusing.http.get(f"/federations/{path}")
        assert (answer.status_code, answer.json()) == (404, {"error": "there is no federation 'x'"})
    assert refusing.http.delete("/federations/x").status_code == 404
    assert refusing.http.put("/federations").status_code == 405
    odd = {"Last-Event-ID": "seven"}
    assert refusing.http.get("/federations/there/events", headers=odd).status_code == 400


@pytest.fixture(scope="module")
def refusing(tmp_path_factory, broker):
    """Return a service that has a federation which waits for devices."""
    with served(tmp_path_factory.mktemp("refusing"), broker) as one:
        assert one.ask(name="there", data="clouds").status_code == 201
        yield one


def test_of_two_requests_at_once_one_succeeds(service) -> None:
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: service.ask(name="same", data="clouds").status_code, range(8)))
    assert sorted(answers) == [201] + [409] * 7


def test_with_registries_only_enrolled_devices_take_part(tmp_path, broker, stage) -> None:
    for number in range(3):
        code, _, err = tierwise(
            *("enrol", f"d{number}", "--registry", "registries/signed", "--federation", "signed", "--broker", broker),
            cwd=tmp_path,
        )
        assert (code, err) == (0, "")
    with served(tmp_path, broker, TIERWISE_REGISTRIES=str(tmp_path / "registries")) as service:
        unknown = service.ask(name="other", data="clouds")
        assert (unknown.status_code, "tierwise enrol" in unknown.json()["error"]) == (422, True)
        assert service.ask(name="signed", data="clouds", rounds=1).status_code == 201
        who = ("agent", "--data", "clouds")
        stage.start("stranger", *who, "--broker", broker, "--federation", "signed", "--id", "stranger")
        started = [stage.start(f"d{number}", *who, "--bundle", f"d{number}.bundle.json") for number in range(3)]
        with service.events("signed") as stream:
            enrolled = {event["device"] for _, event in stream if event["event"] == "device-enrolled"}
        assert enrolled == {"d0", "d1", "d2"}
        assert [agent.wait() for agent in started] == [0] * 3


def test_without_news_a_comment_keeps_the_connection(monkeypatch) -> None:
    monkeypatch.syspath_prepend(SOURCE)
    from tierwise_service import history  # type: ignore[import-not-found]

    monkeypatch.setattr(history, "KEEP_ALIVE_S", 0.01)

    async def read() -> list[bytes]:
        kept = history.History()
        reader = kept.read()
        got = [await anext(reader)]
        kept.add(DeviceReturned(device=DeviceId("d0")))
        kept.end()
        return got + [frame async for frame in reader]

    assert anyio.run(read) == [
        b": nothing new\n\n",
        b'event: device-returned\nid: 0\ndata: {"event":"device-returned","device":"d0","visits":false}\n\n',
    ]


def test_without_a_broker_nothing_is_left_of_the_attempt(tmp_path) -> None:
    with served(tmp_path, f"mqtt://{HOST}:{free_port()}") as service:
        answer = service.ask(name="x", data="clouds")
        assert answer.status_code == 503
        assert "mqtt://" in answer.json()["error"]
        assert service.http.get("/federations").json() == []
        assert list((tmp_path / "kept").iterdir()) == []
        assert service.stop() == -signal.SIGTERM


def test_a_browser_that_does_not_read_does_not_slow_the_training(service, stage) -> None:
    assert service.ask(name="slow", data="clouds", rounds=240, min_devices=3, groups=1).status_code == 201
    with socket.socket() as browser:
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        browser.connect((HOST, service.port))
        browser.sendall(f"GET /federations/slow/events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        started = agents(stage, "slow", 3)
        assert [agent.wait(200) for agent in started] == [0] * 3
        with service.events("slow") as late:
            seen = list(late)
        assert closed_rounds(seen) == 240
        # More than the kernel (2 × 4 kB), the server (64 kB) and a subscription (1024 events) hold.
        assert len(seen) > 1600
        browser.settimeout(PATIENCE_S)
        got = b""
        while b"federation-finished" not in got[-1000:]:  # it reads at last, and has missed nothing
            more = browser.recv(65536)
            assert more, "the connection was closed"
            got += more
        assert got.count(b"\nevent: ") == len(seen)
    compare_models(service, stage, "slow", 3)


def test_sigterm_ends_streams_and_a_new_service_goes_on(service, stage) -> None:
    assert service.ask(name="stopped", data="clouds", rounds=60, min_devices=3, groups=1).status_code == 201
    with service.events("stopped") as stream:
        started = agents(stage, "stopped", 3)
        seen = []
        while closed_rounds(seen) < 6:
            seen.append(next(stream))
        began = time.monotonic()
        assert service.stop() == -signal.SIGTERM
        assert time.monotonic() - began < PATIENCE_S
        seen += list(stream)  # it ends as a response should, not with a broken connection
    log = service.log.read_text()
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
    assert closed_rounds(seen) < 60
    assert [agent.process.poll() for agent in started] == [None] * 3

    service.start()
    with service.events("stopped", last=seen[-1][0]) as stream:
        rest = list(stream)
    assert [number for number, _ in seen + rest] == list(range(len(seen + rest)))
    assert closed_rounds(seen + rest) == 60
    assert rest[-1][1]["event"] == "federation-finished"
    assert [agent.wait() for agent in started] == [0] * 3
    compare_models(service, stage, "stopped", 3)


def test_a_federation_is_stopped_while_it_runs(service, stage) -> None:
    assert service.ask(name="deleted", data="clouds", rounds=5000, min_devices=3, groups=1).status_code == 201
    with service.events("deleted") as stream:
        agents(stage, "deleted", 3)
        seen = []
        while not closed_rounds(seen):
            seen.append(next(stream))
        assert service.http.delete("/federations/deleted").status_code == 204
        list(stream)  # and the stream ends
    assert service.http.get("/federations/deleted").status_code == 404
    assert "Traceback" not in service.log.read_text()
