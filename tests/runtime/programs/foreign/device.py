"""A device of a federation, written from docs/reference/protocol.md: nothing here comes from tierwise.

``python device.py BUNDLE TASK OUT CHUNK_BYTES``; TASK is a JSON file with the task's ``schema_hash`` and ``metrics``.
It trains by letting its weights decay, which needs no data.
"""

import base64
import json
import random
import re
import struct
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import layers
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NEVER = float("inf")


class Wait:
    """A wait that grows: from ``first`` seconds, twice as long each time, up to ``limit``."""

    def __init__(self, first: float, limit: float) -> None:
        self.first, self.limit, self.next, self.due = first, limit, first, NEVER

    def begin(self, again: bool = False) -> None:
        self.next = self.first if again else self.next
        self.due = time.monotonic() + self.next * random.uniform(0.5, 1)
        self.next = min(2 * self.next, self.limit)

    def is_over(self) -> bool:
        return time.monotonic() >= self.due


class Upload:
    def __init__(self, data: bytes, chunk_bytes: int) -> None:
        self.data, self.outline = data, layers.outline(data, chunk_bytes)
        self.numbers, self.wait = {0}, Wait(2, 30)


class Download:
    def __init__(self, outline: dict) -> None:
        self.outline, self.chunks, self.wait = outline, {}, Wait(2, 30)
        self.wait.begin()

    def missing(self) -> list[list[int]]:
        return [[n, n + 1] for n in range(layers.count(self.outline)) if n not in self.chunks][:1024]


class Device:
    def __init__(self, bundle: Path, task: Path, out: Path, chunk_bytes: int) -> None:
        given = json.loads(bundle.read_text())
        self.task, self.out, self.chunk_bytes = json.loads(task.read_text()), out, chunk_bytes
        self.name, self.federation = given["device"], given["federation"]
        self.key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(given["identity"]["signing"]))
        coordinator = {name: base64.b64decode(key) for name, key in given["coordinator"].items()}
        self.coordinator = Ed25519PublicKey.from_public_bytes(coordinator["signing"])
        self.seal_to = coordinator.get("sealing")
        self.boot, self.sequence = next_boot(bundle.with_suffix(".boot")), 0
        self.window, self.newest = layers.Window(), {}
        self.root = f"{given['prefix']}/{self.federation}/"
        self.up, self.down = f"{self.root}up/{self.name}/", f"{self.root}down/{self.name}"
        self.group = self.tier = self.answer = self.target = self.dismissed = self.code = None
        self.latest, self.met = 0, False
        self.hello, self.insist = Wait(5, 60), Wait(5, 60)
        self.upload: Upload | None = None
        self.downloads: dict[str, Download] = {}
        self.completed: set[str] = set()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, f"{self.root}{self.name}", clean_session=False, reconnect_on_failure=False
        )
        self.client.on_connect, self.client.on_message = self.on_connect, self.on_message
        self.broker = urlsplit(given["broker"])

    # -- the connection

    def run(self) -> int:
        while self.code is None:
            self.birth = self.presence(online=True)
            self.client.will_set(self.up + "presence", self.presence(online=False, reason="gone"), 1, retain=True)
            try:
                self.client.connect(self.broker.hostname or "", self.broker.port or 1883, keepalive=30)
                while self.code is None and self.client.loop(0.05) == mqtt.MQTT_ERR_SUCCESS:
                    self.do_what_is_due()
            except OSError:
                pass
            time.sleep(0.2)
        for last in (self.presence(online=False, reason="done"), b""):
            self.client.publish(self.up + "presence", last, 1, retain=True)
        while self.client.want_write() and self.client.loop(0.05) == mqtt.MQTT_ERR_SUCCESS:
            pass
        self.client.disconnect()
        return self.code

    def on_connect(self, *_) -> None:
        self.client.subscribe([(self.down, 1), (self.root + "coordinator", 1)])
        if self.group:
            self.subscribe()
        self.client.publish(self.up + "presence", self.birth, 1, retain=True)
        self.take_up()

    def subscribe(self) -> None:
        self.client.subscribe(f"{self.root}group/{self.group}/chunk", 0)
        self.client.subscribe(f"{self.root}group/{self.group}/model", 1)

    def take_up(self) -> None:
        self.say_hello()
        if self.answer:
            self.send(self.answer[1])

    def do_what_is_due(self) -> None:
        if self.hello.is_over():
            self.say_hello()
        if self.answer and self.insist.is_over():
            self.insist.begin()
            self.send(self.answer[1])
        if self.upload and self.upload.wait.is_over():
            self.offer()
        for one in self.downloads.values():
            if one.wait.is_over():
                one.wait.begin()
                self.request({"link": "want", "transfer": one.outline["transfer"], "ranges": one.missing()})

    # -- out

    def framed(self, kind: str, payload: bytes) -> bytes:
        self.sequence += 1
        names = {"federation": self.federation, "sender": self.name, "recipient": "coordinator", "kind": kind}
        return layers.framed(self.key, {**names, "boot": self.boot, "sequence": self.sequence}, payload)

    def presence(self, **said) -> bytes:
        return self.framed("presence", layers.pack(said))

    def request(self, header: dict) -> None:
        self.client.publish(self.up + "ctl", self.framed("ctl", layers.message(b"tl", header)), 0)

    def envelope(self, header: dict, body: bytes = b"") -> bytes:
        envelope = layers.message(b"tw", header, body)
        return layers.sealed(self.seal_to, (self.federation, self.name), envelope) if self.seal_to else envelope

    def say_hello(self) -> None:
        self.hello.begin()
        quantities = {"cpu_flops": {"value": 2e9, "origin": "declared"}, "memory_bytes": {"value": 1e9}}
        header = {"kind": "hello", "schema_hash": self.task["schema_hash"], "profile": {"quantities": quantities}}
        self.send(self.envelope(header))

    def send(self, envelope: bytes) -> None:
        if len(envelope) <= self.chunk_bytes:
            whole = layers.message(b"tl", {"link": "whole", "size": len(envelope)}, envelope)
            self.client.publish(self.up + "ctl", self.framed("ctl", whole), 1)
            return
        if self.upload is None or self.upload.data != envelope:
            self.upload = Upload(envelope, self.chunk_bytes)
        self.offer()

    def offer(self) -> None:
        self.upload.wait.begin()
        self.request({"link": "offer", "outline": self.upload.outline, "seen": max(self.upload.numbers)})

    def take_grant(self, grant: dict) -> None:
        upload = self.upload
        if upload is None or grant["transfer"] != upload.outline["transfer"] or grant["number"] in upload.numbers:
            return
        if grant["done"]:
            self.upload = None
            return
        upload.numbers.add(grant["number"])
        for first, end in grant["ranges"]:
            for index in range(first, min(end, layers.count(upload.outline))):
                header = {"link": "chunk", "transfer": grant["transfer"], "index": index}
                chunk = upload.data[index * self.chunk_bytes : (index + 1) * self.chunk_bytes]
                self.client.publish(self.up + "chunk", layers.message(b"tl", header, chunk), 0)
        upload.wait.begin(again=True)

    # -- in

    def on_message(self, _client, _data, arrived) -> None:
        topic, payload = arrived.topic, arrived.payload
        whose = topic.removeprefix(self.root).split("/")
        if payload.startswith(b"tl") and topic in (self.down, f"{self.root}group/{self.group}/chunk"):
            self.take_chunk(whose[0], *layers.read_message(b"tl", payload))
        elif topic == self.down:
            self.take_link("down", self.opened(topic, payload, f"device/{self.name}", "down"))
        elif topic == f"{self.root}group/{self.group}/model":
            self.take_link("group", self.opened(topic, payload, f"group/{self.group}", "manifest"))
        elif topic == self.root + "coordinator":
            opened = self.opened(topic, payload, "everyone", "presence")
            if opened and layers.unpack(opened)["online"]:
                there_before, self.met = not self.met and arrived.retain, True
                if not there_before:
                    self.take_up()

    def opened(self, topic: str, frame: bytes, recipient: str, kind: str) -> bytes | None:
        expected = {"federation": self.federation, "sender": "coordinator", "recipient": recipient, "kind": kind}
        found = layers.unframed(self.coordinator, frame, expected)
        if found is None:
            return None
        header, payload = found
        order = (header["boot"], header["sequence"])
        if kind == "down":
            return payload if self.window.is_fresh(header) else None
        if order < self.newest.get(topic, order) or (kind == "presence" and order == self.newest.get(topic)):
            return None
        self.newest[topic] = order
        return payload

    def take_link(self, where: str, payload: bytes | None) -> None:
        read = None if payload is None else layers.read_message(b"tl", payload)
        if read is None:
            return
        header, tail = read
        match header["link"]:
            case "whole":
                self.take_envelope(tail)
            case "grant":
                self.take_grant(header)
            case "manifest":
                self.take_manifest(where, header["outline"], tail)
            case "gone" if self.upload and header["transfer"] == self.upload.outline["transfer"]:
                self.offer()
            case "gone":
                self.downloads = {
                    w: d for w, d in self.downloads.items() if d.outline["transfer"] != header["transfer"]
                }
                if self.group:
                    self.subscribe()

    def take_manifest(self, where: str, outline: dict, tail: bytes) -> None:
        current = self.downloads.get(where)
        under_way = current is not None and current.outline["transfer"] == outline["transfer"]
        if not layers.is_sound(outline) or outline["transfer"] in self.completed or under_way:
            return
        self.downloads[where] = Download(outline)
        if layers.count(outline) == 1:
            self.take_chunk(where, {"transfer": outline["transfer"], "index": 0}, tail)

    def take_chunk(self, where: str, header: dict, data: bytes) -> None:
        download, index = self.downloads.get(where), header["index"]
        if download is None or header["transfer"] != download.outline["transfer"] or index in download.chunks:
            return
        if index >= layers.count(download.outline) or not layers.is_chunk(download.outline, index, data):
            return
        download.chunks[index] = data
        download.wait.begin(again=True)
        if len(download.chunks) == layers.count(download.outline):
            del self.downloads[where]
            self.completed.add(header["transfer"])
            self.take_envelope(b"".join(download.chunks[n] for n in range(len(download.chunks))))

    # -- the conversation

    def take_envelope(self, envelope: bytes) -> None:
        read = layers.read_message(b"tw", envelope)
        if read is None:
            return
        said, body = read
        match said["kind"]:
            case "welcome" | "assigned":
                self.follow(said["assignment"])
            case "round" if said["group"] == self.group:
                self.take_round(said, body)
            case "receipt" if self.answer and said["cohort"] == self.answer[0]:
                self.answer = None
                if said["refusal"] == "unknown device":
                    self.say_hello()
            case "target" if said["group"] == self.group and layers.sha256(body) == said["model"]:
                self.target = said["model"]
                self.out.write_bytes(body)
                self.leave_if_done()
            case "dismissed":
                self.dismissed = said
                self.leave_if_done()
            case "refused":
                print(said["refusal"], said["reason"])
                self.code = 1

    def leave_if_done(self) -> None:
        if self.dismissed and self.dismissed["target"] in (None, self.target):
            self.code = 0 if self.target else 1

    def follow(self, assignment: dict | None) -> None:
        self.hello.next = self.hello.first if assignment else self.hello.limit
        self.hello.begin()
        if assignment is None:
            return
        self.hello.due = NEVER
        self.tier = assignment["tier"]
        if assignment["group"] != self.group:
            if self.group:
                self.client.unsubscribe([f"{self.root}group/{self.group}/{end}" for end in ("chunk", "model")])
            self.group, self.latest, self.answer = assignment["group"], 0, None
            self.downloads.pop("group", None)
            self.subscribe()

    def take_round(self, said: dict, body: bytes) -> None:
        named = re.fullmatch(re.escape(self.group) + r"\.r(\d+)", said["cohort"])
        if named is None or int(named[1]) < self.latest:
            return
        again, self.latest = int(named[1]) == self.latest, int(named[1])
        if again:
            if self.answer:
                self.send(self.answer[1])
            return
        self.answer = None
        if said["participants"] is not None and self.name not in said["participants"]:
            return
        base = {
            "cohort": said["cohort"],
            "base": said["model"],
            "metrics": dict.fromkeys(self.task["metrics"], NOTHING),
        }
        delta = decayed(self.tier["layout"], body)
        if layers.sha256(body) != said["model"] or delta is None:
            reason = "that is not the group's model"
            self.send(self.envelope({"kind": "task-refused", "cohort": said["cohort"], "reason": reason}))
            return
        header, update = {"kind": "evaluation", **base}, b""
        if said["purpose"] == "fit":
            header, update = {"kind": "update", **base, "blob": layers.sha256(delta), "samples": 5}, delta
        self.answer = (said["cohort"], self.envelope(header, update))
        self.insist.begin(again=True)
        self.send(self.answer[1])


NOTHING = {"sum": 0.0, "count": 0}


def decayed(layout: dict, body: bytes) -> bytes | None:
    """Return the update of a hundredth of each weight less; None if the model is not of the layout."""
    (size,) = struct.unpack("<Q", body[:8])
    header = json.loads(body[8 : 8 + size])
    shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    if shapes != {tensor["name"]: tensor["shape"] for tensor in layout["tensors"]}:
        return None
    values = struct.unpack(f"<{len(body[8 + size :]) // 4}f", body[8 + size :])
    return body[: 8 + size] + struct.pack(f"<{len(values)}f", *(-0.01 * value for value in values))


def next_boot(path: Path) -> int:
    boot = max(int(path.read_text()) + 1 if path.exists() else 1, int(time.time()))
    path.write_text(str(boot))
    return boot


if __name__ == "__main__":
    sys.exit(Device(*map(Path, sys.argv[1:4]), int(sys.argv[4])).run())
