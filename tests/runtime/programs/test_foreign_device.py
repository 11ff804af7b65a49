"""A device that was written from docs/reference/protocol.md alone takes part beside two real agents.

What goes over the broker meanwhile is held against docs/reference/asyncapi.json: where it is published, with which QoS,
and whether it is retained.
"""

import ast
import hashlib
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from tests.runtime.programs.processes import PATIENCE_S, Running, configuration
from tierwise.core.ids import DeviceId
from tierwise.core.task import Task
from tierwise.core.transfer import decode
from tierwise.runtime.cli.program import run
from tierwise.runtime.security.frames import split
from tierwise.runtime.transports.mqtt.presence import read_presence
from tierwise.runtime.transports.mqtt.topics import Topics

FOREIGN = Path(__file__).parent / "foreign"
ASYNCAPI = json.loads((Path(__file__).parents[3] / "docs/reference/asyncapi.json").read_text())
TASK = Task(name="clouds", features=4, classes=("a", "b", "c"))


def events(process, name):
    return [line for line in process.lines() if line.get("event") == name]


class Foreign(Running):
    """The foreign device as a process."""

    def __init__(self, folder: Path, name: str, chunk_bytes: int) -> None:
        self.out, self.model = folder / f"{name}.out", folder / f"{name}.safetensors"
        self.err = self.out
        bundle, task = folder / "foreign.bundle.json", folder / "task.json"
        task.write_text(json.dumps({"schema_hash": TASK.schema_hash, "metrics": TASK.metrics}))
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, FOREIGN / "device.py", bundle, task, self.model, str(chunk_bytes)],
                stdout=out,
                stderr=out,
            )


class Scenery:
    """A federation that a foreign device is enrolled in, besides real agents."""

    def __init__(self, stage, chunk_bytes: int, real: int, rounds: int) -> None:
        self.stage = stage
        self.real = [f"d{number}" for number in range(1, real + 1)]
        for name in ("foreign", *self.real):
            where = ("--registry", str(stage.folder / "registry"), "--broker", stage.broker)
            out = str(stage.folder / f"{name}.bundle.json")
            assert run(["enrol", name, *where, "--federation", f"f{chunk_bytes}", "--out", out]) == 0
        more = f'chunk_bytes = {chunk_bytes}\n[security]\nregistry = "registry"\n'
        self.file = configuration(
            stage.folder / "run.toml", stage.broker, name=f"f{chunk_bytes}", devices=real + 1, rounds=rounds, width=600,
            more=more,
        )  # fmt: skip
        self.file.write_text(self.file.read_text().replace("groups = 2", "groups = 1"))

    def start(self, *more):
        coordinator = self.stage.start("coordinator", "coordinator", self.file, "--log-json", *more)
        agents = [
            self.stage.start(
                name, "agent", "--bundle", f"{name}.bundle.json", "--data", f"clouds:part={number},parts=9",
                "--out", f"model-{name}",
            )
            for number, name in enumerate(self.real)
        ]  # fmt: skip
        return coordinator, agents

    @contextmanager
    def foreign(self, name: str, chunk_bytes: int):
        running = Foreign(self.stage.folder, name, chunk_bytes)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait(10)


@contextmanager
def overhearing(broker: str, topics: Topics):
    """Collect what is published as it was published; MQTT 5 lets a subscriber see whether it is retained."""
    host, port = broker.removeprefix("mqtt://").split(":")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    heard: list[mqtt.MQTTMessage] = []
    client.on_message = lambda _client, _data, message: heard.append(message)
    options = mqtt.SubscribeOptions(qos=2, retainAsPublished=True)
    client.on_connect = lambda *_: client.subscribe(f"{topics.prefix}/{topics.federation}/#", options=options)
    client.connect(host, int(port))
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def said(payload: bytes) -> str | None:
    """Tell what a payload is; None for one that clears a topic."""
    if not payload:
        return None
    framed = payload.startswith(b"tf")
    inner = split(payload).payload if framed else memoryview(payload)
    if framed and read_presence(inner) is not None:
        return "Presence"
    return type(decode(inner)[0]).__name__


def documented(topic: str, topics: Topics, name: str) -> tuple[int, bool] | None:
    """Return QoS and retention of what is said on a topic, as the document says; None if it says nothing of that."""
    place = topics.place(topic)
    assert place is not None
    channel = f"#/channels/{place.channel.name.lower().replace('_', '-')}"
    for operation in ASYNCAPI["operations"].values():
        messages = {one["$ref"].rpartition("/")[2] for one in operation["messages"]}
        if operation["action"] == "send" and operation["channel"]["$ref"] == channel and name in messages:
            return operation["bindings"]["mqtt"]["qos"], operation["bindings"]["mqtt"]["retain"]
    return None


def checked(heard, topics: Topics) -> set[tuple[str, str]]:
    """Hold all that was published against the document; return what it was, and on which topics."""
    kinds = {(said(one.payload), one.topic, one.qos, one.retain) for one in heard}
    found = {(name, topic) for name, topic, _, _ in kinds if name is not None}
    for name, topic, qos, retain in kinds:
        if name is not None:
            assert documented(topic, topics, name) == (qos, retain), f"{name} on {topic}"
    return found


@pytest.mark.parametrize(("chunk_bytes", "own"), [(120_000, 120_000), (1024, 1000)], ids=["inline", "in chunks"])
def test_it_takes_part_and_all_that_is_said_is_documented(stage, chunk_bytes, own) -> None:
    scenery = Scenery(stage, chunk_bytes, real=2, rounds=3)
    topics = Topics("tierwise", f"f{chunk_bytes}")
    with overhearing(stage.broker, topics) as heard, scenery.foreign("foreign", own) as foreign:
        coordinator, agents = scenery.start()
        assert coordinator.wait() == 0, coordinator.err.read_text()
        assert foreign.wait() == 0, foreign.out.read_text()
        assert [agent.wait() for agent in agents] == [0, 0]
    accepted = [line["cohort"] for line in events(coordinator, "update-accepted") if line["device"] == "foreign"]
    assert accepted == ["g1.r1", "g1.r2", "g1.r3"]
    assert "foreign" in {line["device"] for line in events(coordinator, "evaluation-accepted")}
    (finished,) = events(coordinator, "group-finished")
    assert hashlib.sha256(foreign.model.read_bytes()).hexdigest() == finished["model"]
    rejected = [line for line in coordinator.lines() if line.get("notice") == "input-rejected"]
    assert {line["refusal"] for line in rejected} <= {"duplicate"}  # a receipt that took its time

    names = {name for name, _ in checked(heard, topics)}
    assert names >= {"Presence", "Whole", "Manifest"}
    assert (chunk_bytes == 120_000) or names >= {"Offer", "Grant", "Chunk"}


def test_it_comes_back_late_and_is_given_the_target_model(stage) -> None:
    scenery = Scenery(stage, 1024, real=3, rounds=5)
    scenery.file.write_text(scenery.file.read_text().replace("deadline_s = 20", "deadline_s = 5"))
    coordinator, agents = scenery.start("--linger", 60)
    topics = Topics("tierwise", "f1024")
    with scenery.foreign("before", 1000) as foreign:
        coordinator.until(lambda one: any(line["device"] == "foreign" for line in events(one, "update-accepted")))
    coordinator.until(lambda one: bool(events(one, "federation-finished")))
    assert not foreign.model.exists()
    with overhearing(stage.broker, topics) as heard, scenery.foreign("after", 1000) as foreign:
        assert foreign.wait(PATIENCE_S) == 0, foreign.out.read_text()
    (finished,) = events(coordinator, "group-finished")
    assert hashlib.sha256(foreign.model.read_bytes()).hexdigest() == finished["model"]
    assert [agent.wait() for agent in agents] == [0, 0, 0]
    own = topics.down(DeviceId("foreign"))
    assert checked(heard, topics) >= {("Manifest", own), ("Chunk", own), ("Whole", own)}


def test_it_has_nothing_from_tierwise() -> None:
    for path in FOREIGN.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "tierwise"], path
