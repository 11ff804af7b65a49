"""A budget of a round over MQTT: what an update costs in each of its stages, beside the physical limit of each.

100 devices, a model of 100 kB, signed and sealed, the log on the disk. Each stage is measured by itself, in one thread,
through the functions that the programs call:

- *encode*, on the device: frame the delta, hash it, seal the envelope, sign the frame.
- *publish and broker*: one message to all devices and one back from each, of clients that do nothing else.
- *decode*, at the coordinator: verify the frame's signature, open the seal, read the envelope.
- *validate*: hash the body, check layout and values.
- *spool*: keep the update, with its share in the commit of the 32 that share one.
- *log*: the record of it, with its share in that commit.
- *reduce*: read it back, and its share in the next model.

A limit is the least that the stage's bytes cost by themselves in the same run: the library's cipher, signature and
hash over them, a pass over them, a plain file with all 32 of them written and synced, one sync for 32 records. Where
the broker is concerned the stage is the limit. The *whole* is a federation of 100 agents (``fleet.py``), its time from
one round to the next for each update: what the stages do not account for is the event loop, the MQTT clients, and the
agents, which share the processors.
"""

import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from broker import mosquitto, round_trips
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from fleet import allow_files, federation
from report import Row, arguments, compared, report

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.envelope import open_from_device, seal
from tierwise.core.events import Record, UpdateAccepted
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.ids import BlobHash, CohortId, DeviceId
from tierwise.core.messages import UpdateSent
from tierwise.core.metrics import Metric
from tierwise.core.updates import check_update
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.aggregation.mean import MeanReducer
from tierwise.plugins.aggregation.plain import PlainOptimizer, PlainOptions
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.runtime.aggregating import aggregate
from tierwise.runtime.blocks import UpdateBlocks
from tierwise.runtime.security.keys import KnownKey
from tierwise.runtime.security.signing import TO_COORDINATOR, Signer, Verifier
from tierwise.runtime.stores.sqlite import SqliteStore
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.sealed import sealed_by, unsealed_from

LAYOUT: Final = Layout.of({"w1": (88, 252), "b1": (252,), "w2": (252, 10), "b2": (10,)})
CODING: Final = CodedUpdates(Float32Codec(), "float32", LAYOUT)
FEDERATION: Final = "budget"
DEVICE: Final = DeviceId("device-0001")
SHARING: Final = 32
"""Updates that share a commit: as many as a coordinator looks at side by side."""
METRICS: Final = {name: Metric(sum=90.0, count=100) for name in ("accuracy", "log_loss")}

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Book:
    """A key book with one key."""

    known: KnownKey

    def lookup(self, sender: str) -> KnownKey | None:
        """Return it, whoever asks for it."""
        return self.known if sender else None


class Stages:
    """One update's way, stage by stage, and the limits beside them."""

    def __init__(self, folder: Path) -> None:
        random = np.random.default_rng(0)
        self.folder = folder
        self.delta = Weights(LAYOUT, random.standard_normal(LAYOUT.size, dtype=np.float32))
        self.sealing = X25519PrivateKey.generate()
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key()
        self.signer = Signer(DEVICE, FEDERATION, self.key, 1)
        self.verifier = Verifier(FEDERATION, Book(KnownKey(public, public.public_bytes_raw())))
        self.cipher = ChaCha20Poly1305(ChaCha20Poly1305.generate_key())
        self.body = to_bytes(self.delta)
        self.blob = BlobHash(hashlib.sha256(self.body).hexdigest())
        self.encrypted = self.cipher.encrypt(bytes(12), self.body, None)
        self.signature = self.key.sign(self.encrypted)

    # -- the stages

    def encode(self) -> bytes:
        """Return the frame of an update."""
        body = to_bytes(self.delta)
        blob = BlobHash(hashlib.sha256(body).hexdigest())
        said = UpdateSent(cohort=CohortId("g1.r1"), base=blob, blob=blob, samples=100, metrics=METRICS)
        sealed = sealed_by(DEVICE, FEDERATION, self.sealing.public_key(), seal(said, body))
        return self.signer.sign(sealed, kind=kinds.CTL, recipient=TO_COORDINATOR)

    def decode(self, frame: bytes) -> memoryview:
        """Return the update's body."""
        opened = self.verifier.verify(frame, kind=kinds.CTL, recipient=TO_COORDINATOR, sender=DEVICE)
        envelope = b"".join(unsealed_from(DEVICE, FEDERATION, self.sealing, opened.payload))
        return open_from_device(envelope)[1]

    def validate(self, body: memoryview) -> None:
        """Look at all of it."""
        check_update(body, device=DEVICE, blob=self.blob, coding=CODING)

    # -- the limits

    def encoding_limit(self) -> None:
        """Hash, encrypt and sign its bytes."""
        hashlib.sha256(self.body).hexdigest()
        self.key.sign(self.cipher.encrypt(bytes(12), self.body, None))

    def decoding_limit(self) -> None:
        """Verify and decrypt its bytes."""
        self.key.public_key().verify(self.signature, self.encrypted)
        self.cipher.decrypt(bytes(12), self.encrypted, None)

    def validating_limit(self) -> None:
        """Hash its bytes, and read them once more."""
        hashlib.sha256(self.body).hexdigest()
        self.delta.buffer.max()

    def spooling_limit(self) -> None:
        """Write all that share a commit into a file."""
        with (self.folder / "plain").open("wb") as file:
            file.writelines([self.body] * SHARING)
            file.flush()
            os.fsync(file.fileno())

    def logging_limit(self) -> None:
        """Write as many bytes as their records have."""
        with (self.folder / "records").open("ab") as file:
            file.write(bytes(300 * SHARING))
            file.flush()
            os.fsync(file.fileno())


def timed(samples: Samples, name: str, run: Callable[[], object], share: int = 1) -> None:
    start = time.perf_counter()
    run()
    samples.setdefault(name, []).append((time.perf_counter() - start) / share)


async def on_the_disk(stages: Stages, samples: Samples, devices: int, repetitions: int) -> None:
    """Spool, log and reduce."""
    store, sequence = SqliteStore(stages.folder / "run.db"), 0
    model = Weights.zeros(LAYOUT)
    async with store.open():
        for repetition in range(repetitions):
            bodies = [to_bytes(Weights(LAYOUT, stages.delta.buffer + number + repetition)) for number in range(devices)]
            blobs = []
            for first in range(0, devices, SHARING):
                shared = bodies[first : first + SHARING]
                await measured_append(store, samples, "log", sequence, len(shared))
                sequence += len(shared)
                start = time.perf_counter()
                blobs += [await store.put(body) for body in shared]
                put_s = time.perf_counter() - start
                await measured_append(store, samples, "spool", sequence, len(shared), before_s=put_s)
                sequence += len(shared)
            start = time.perf_counter()
            frames = await store.get_all(blobs)
            blocks = UpdateBlocks(CODING, frames)
            aggregate(MeanReducer(), PlainOptimizer(PlainOptions()), model, {}, blocks, [100] * devices)
            samples.setdefault("reduce", []).append((time.perf_counter() - start) / devices)
            updates = [unframe(frame).buffer for frame in frames]
            timed(samples, "reduce limit", lambda updates=updates: [update.max() for update in updates], devices)
            timed(samples, "spool limit", stages.spooling_limit, SHARING)
            timed(samples, "log limit", stages.logging_limit, SHARING)
            await store.delete(blobs)
    # A commit with updates has the records, too.
    samples["spool"] = [max(both - log, 0) for both, log in zip(samples["spool"], samples["log"], strict=True)]


async def measured_append(
    store: SqliteStore, samples: Samples, name: str, sequence: int, count: int, before_s: float = 0.0
) -> None:
    records = [Record(sequence=sequence + place, at=1.0, event=_accepted()) for place in range(count)]
    start = time.perf_counter()
    await store.append(records)
    samples.setdefault(name, []).append((before_s + time.perf_counter() - start) / count)


def _accepted() -> UpdateAccepted:
    return UpdateAccepted(
        cohort=CohortId("g1.r1"),
        device=DEVICE,
        blob=BlobHash("0" * 64),
        size_bytes=100_000,
        samples=100,
        metrics=METRICS,
    )


def rows(devices: int, rounds: int, repetitions: int) -> Iterator[Row]:
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        stages = Stages(folder)
        for _ in range(20 * repetitions):
            frame = stages.encode()
            body = stages.decode(frame)
            timed(samples, "encode", stages.encode)
            timed(samples, "encode limit", stages.encoding_limit)
            frame = stages.encode()
            timed(samples, "decode", lambda frame=frame: stages.decode(frame))
            timed(samples, "decode limit", stages.decoding_limit)
            timed(samples, "validate", lambda body=body: stages.validate(body))
            timed(samples, "validate limit", stages.validating_limit)
        asyncio.run(on_the_disk(stages, samples, devices, repetitions))
        with mosquitto(folder) as broker:
            trips = asyncio.run(round_trips(broker, size=len(stages.body), devices=devices, count=3))
            found = federation(folder, broker, devices, rounds)
    whole_s = statistics.median(found.to_next) / devices
    broker_s = statistics.median(trips) / devices
    told_s = broker_s
    for name, limit in (
        ("encode", "hash, cipher and signature alone"),
        ("decode", "signature and cipher alone"),
        ("validate", "hash and a pass alone"),
        ("spool", f"a file of {SHARING}, written and synced"),
        ("log", f"a sync for {SHARING}"),
        ("reduce", "a pass alone"),
    ):
        stage_s, limit_s = statistics.median(samples[name]), statistics.median(samples[f"{name} limit"])
        told_s += stage_s
        yield compared(f"an update: {name}", 1e3 * stage_s, "ms", baseline=limit, baseline_value=1e3 * limit_s)
    yield Row("an update: publish and broker, clients alone", 1e3 * broker_s, "ms")
    yield compared(
        f"an update: the whole, in rounds of {devices}",
        1e3 * whole_s,
        "ms",
        baseline="its stages together",
        baseline_value=1e3 * told_s,
    )
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def main() -> None:
    options = arguments("Measure what an update costs in each of its stages.").parse_args()
    allow_files()
    devices, rounds, repetitions = (SHARING, 3, 3) if options.quick else (96, 12, 10)
    report(f"Budget of an update, {devices} devices, model of 100 kB", rows(devices, rounds, repetitions), options.json)


if __name__ == "__main__":
    main()
