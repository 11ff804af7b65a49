"""The bytes of the protocol, written from docs/reference/protocol.md: nothing here comes from tierwise."""

import hashlib
import struct
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode
MIB = 1 << 20


# -- frames


def framed(key: Ed25519PrivateKey, header: dict, payload: bytes) -> bytes:
    packed = pack(header)
    signed = struct.pack("<2sBBHI", b"tf", 1, 1, len(packed), len(payload)) + packed + payload
    return signed + key.sign(signed)


def unframed(key: Ed25519PublicKey, frame: bytes, expected: dict) -> tuple[dict, bytes] | None:
    """Return header and payload, if it is authentic and for whom, and what, it should be; the order is not judged."""
    if len(frame) < 10:
        return None
    magic, version, scheme, header_size, size = struct.unpack("<2sBBHI", frame[:10])
    end = 10 + header_size + size
    if (magic, version, scheme) != (b"tf", 1, 1) or len(frame) != end + 64:
        return None
    header = unpack(frame[10 : 10 + header_size])
    if any(header[name] != value for name, value in expected.items()):
        return None
    try:
        key.verify(frame[end:], frame[:end])
    except InvalidSignature:
        return None
    return header, frame[10 + header_size : end]


@dataclass
class Window:
    """Which frames have come, of all kinds that are not retained."""

    boot: int = 0
    highest: dict = field(default_factory=dict)
    seen: dict = field(default_factory=dict)

    def is_fresh(self, header: dict) -> bool:
        stream, number = (header["recipient"], header["kind"]), header["sequence"]
        if header["boot"] < self.boot:
            return False
        if header["boot"] > self.boot:
            self.boot, self.highest, self.seen = header["boot"], {}, {}
        seen = self.seen.setdefault(stream, set())
        if number in seen or number <= self.highest.get(stream, 0) - 64:
            return False
        highest = self.highest[stream] = max(self.highest.get(stream, 0), number)
        self.seen[stream] = {one for one in (*seen, number) if one > highest - 64}
        return True


# -- link messages and envelopes, which have one form


def message(magic: bytes, header: dict, tail: bytes = b"") -> bytes:
    packed = pack(header)
    return struct.pack("<2sBBI", magic, 1, 0, len(packed)) + packed + tail


def read_message(magic: bytes, data: bytes) -> tuple[dict, bytes] | None:
    if len(data) < 8:
        return None
    found, version, _, size = struct.unpack("<2sBBI", data[:8])
    if (found, version) != (magic, 1) or 8 + size > len(data):
        return None
    return unpack(data[8 : 8 + size]), data[8 + size :]


# -- sealing


def sealed(public: bytes, names: tuple[str, str], data: bytes, ephemeral: X25519PrivateKey | None = None) -> bytes:
    """Seal to a public key; ``names`` are federation and device, ``ephemeral`` is given by the examples only."""
    ephemeral = ephemeral or X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    key = HKDF(SHA256(), 32, own + public, b"tierwise seal 1").derive(secret)
    cipher, associated = ChaCha20Poly1305(key), pack([names[0], "", names[1]])
    segments = [data[start : start + MIB] for start in range(0, len(data), MIB)] or [b""]
    parts = [b"tws\x01", own]
    for number, segment in enumerate(segments):
        nonce = number.to_bytes(11, "big") + bytes([number == len(segments) - 1])
        parts.append(cipher.encrypt(nonce, segment, associated))
    return b"".join(parts)


# -- outlines


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def short_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def transfer_id(size: int, chunk_size: int, hashes: bytes) -> str:
    return sha256(struct.pack("<QI", size, chunk_size) + hashes)[:32]


def outline(data: bytes, chunk_size: int) -> dict:
    hashes = b"".join(short_hash(data[at : at + chunk_size]) for at in range(0, len(data), chunk_size))
    transfer = transfer_id(len(data), chunk_size, hashes)
    return {"transfer": transfer, "size": len(data), "chunk_size": chunk_size, "hashes": hashes}


def count(outline: dict) -> int:
    return -(-outline["size"] // outline["chunk_size"])


def is_sound(outline: dict) -> bool:
    size, chunk_size, hashes = outline["size"], outline["chunk_size"], outline["hashes"]
    return len(hashes) == 16 * count(outline) and outline["transfer"] == transfer_id(size, chunk_size, hashes)


def is_chunk(outline: dict, index: int, data: bytes) -> bool:
    length = min(outline["chunk_size"], outline["size"] - index * outline["chunk_size"])
    return len(data) == length and short_hash(data) == outline["hashes"][16 * index : 16 * index + 16]
