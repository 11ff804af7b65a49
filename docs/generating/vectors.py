"""Examples in hexadecimal that an implementation can be held against.

Keys, names and numbers are fixed, so that the same bytes come out each time. Sealing takes a key that is made for one
purpose and thrown away; here it is fixed, too, and `sealed` says step by step what is done with it.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tierwise.core import messages as m
from tierwise.core.envelope import seal
from tierwise.core.framing import to_bytes
from tierwise.core.hardware import HardwareProfile, Quantity
from tierwise.core.ids import DeviceId
from tierwise.core.seeds import derive_seed
from tierwise.core.task import Task
from tierwise.core.transfer import Chunk, Grant, Manifest, Offer, Outline, Whole, encode
from tierwise.core.weights import Layout, Weights
from tierwise.runtime.security.bundle import Bundle
from tierwise.runtime.security.keys import COORDINATOR, Identity
from tierwise.runtime.security.signing import TO_COORDINATOR, Signer, to_group
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.presence import Presence
from tierwise.runtime.transports.mqtt.topics import PREFIX, Topics

FEDERATION: Final = "clouds"
DEVICE: Final = "kitchen"
BOOT: Final = 1_700_000_000
DEVICE_KEY: Final = bytes(range(32))
SEALING_KEY: Final = bytes(range(32, 64))
EPHEMERAL_KEY: Final = bytes(range(64, 96))
COORDINATOR_KEY: Final = bytes(range(96, 128))
TASK: Final = Task(name="clouds", features=4, classes=("a", "b", "c"))
TEN: Final = b"0123456789"
"""An envelope that is none, for showing how one is cut."""


def vectors() -> dict[str, object]:
    """Return the examples by name: bytes as hexadecimal digits, texts and numbers as they are."""
    shown: dict[str, object] = {}
    for part in (_keys(), _schema(), _presence(), _hello(), _weights(), _link(), _round()):
        shown |= {name: value.hex() if isinstance(value, bytes) else value for name, value in part.items()}
    return shown


def bundle() -> str:
    """Return the file of a bundle with these keys."""
    coordinator = Identity(
        Ed25519PrivateKey.from_private_bytes(COORDINATOR_KEY), X25519PrivateKey.from_private_bytes(SEALING_KEY)
    )
    made = Bundle(
        device=DeviceId(DEVICE),
        identity=Identity(Ed25519PrivateKey.from_private_bytes(DEVICE_KEY)),
        topics=Topics(PREFIX, FEDERATION),
        coordinator=coordinator.public,
        broker="mqtts://broker.example.org",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.json"
        made.save(path)
        return path.read_text("utf-8")


def _keys() -> dict[str, object]:
    return {
        "federation": FEDERATION,
        "device": DEVICE,
        "boot": BOOT,
        "device_ed25519_private": DEVICE_KEY,
        "device_ed25519_public": Ed25519PrivateKey.from_private_bytes(DEVICE_KEY).public_key().public_bytes_raw(),
        "coordinator_ed25519_private": COORDINATOR_KEY,
        "coordinator_x25519_private": SEALING_KEY,
        "coordinator_x25519_public": X25519PrivateKey.from_private_bytes(SEALING_KEY).public_key().public_bytes_raw(),
        "ephemeral_x25519_private": EPHEMERAL_KEY,
    }


def _schema() -> dict[str, object]:
    return {
        "schema_json": TASK.schema.decode(),
        "schema_hash": TASK.schema_hash,
        "seed_of_round": 12345,
        "seed_of_device": str(derive_seed(12345, DEVICE)),
    }


def _presence() -> dict[str, object]:
    payload = Presence(online=True).encode()
    return {
        "presence": payload,
        "presence_frame": _signer().sign(payload, kind=kinds.PRESENCE, recipient=TO_COORDINATOR),
    }


def _hello() -> dict[str, object]:
    profile = HardwareProfile(quantities={"cpu_flops": Quantity(value=2.5e9)})
    envelope = seal(m.Hello(schema_hash=TASK.schema_hash, profile=profile))
    made = sealed(envelope)
    whole = encode(Whole(size=len(made["hello_sealed"])), made["hello_sealed"])
    frame = _signer().sign(whole, kind=kinds.CTL, recipient=TO_COORDINATOR)
    return {"hello_envelope": envelope, **made, "hello_whole": whole, "hello_frame": frame}


def sealed(envelope: bytes) -> dict[str, bytes]:
    """Seal as `tierwise.runtime.security.sealing` does, with the fixed key, and show each step."""
    ephemeral = X25519PrivateKey.from_private_bytes(EPHEMERAL_KEY)
    recipient = X25519PrivateKey.from_private_bytes(SEALING_KEY).public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    public = ephemeral.public_key().public_bytes_raw()
    key = HKDF(SHA256(), 32, salt=public + recipient, info=b"tierwise seal 1").derive(shared)
    associated = msgspec.msgpack.encode([FEDERATION, "", DEVICE])
    segment = ChaCha20Poly1305(key).encrypt(bytes(11) + b"\x01", envelope, associated)
    return {
        "seal_shared_secret": shared,
        "seal_key": key,
        "seal_associated_data": associated,
        "hello_sealed": b"tws\x01" + public + segment,
    }


def _weights() -> dict[str, object]:
    layout = Layout.of({"0.weight": (2, 3), "0.bias": (3,)})
    frame = to_bytes(Weights(layout, np.linspace(0, 2, 9, dtype=np.float32)))
    return {"weights": frame, "weights_sha256": hashlib.sha256(frame).hexdigest()}


def _round() -> dict[str, object]:
    """Sign what the coordinator says: the frame is retained on a group's topic."""
    outline = Outline.of(TEN, 16)
    manifest = encode(Manifest(outline=outline), TEN)
    signer = Signer(COORDINATOR, FEDERATION, Ed25519PrivateKey.from_private_bytes(COORDINATOR_KEY), BOOT)
    return {"manifest_frame": signer.sign(manifest, kind=kinds.MANIFEST, recipient=to_group("g1"))}


def _link() -> dict[str, object]:
    outline = Outline.of(TEN, 4)
    return {
        "outline_of": TEN,
        "outline_chunk_size": 4,
        "outline_hashes": outline.hashes,
        "outline_transfer": outline.transfer,
        "offer": encode(Offer(outline=outline)),
        "grant": encode(Grant(transfer=outline.transfer, number=1, ranges=((0, 2),))),
        "chunk": encode(Chunk(transfer=outline.transfer, index=1), TEN[4:8]),
    }


def _signer() -> Signer:
    return Signer(DEVICE, FEDERATION, Ed25519PrivateKey.from_private_bytes(DEVICE_KEY), BOOT)
