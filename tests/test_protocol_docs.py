"""The reference of the protocol is what the code says, and its examples are what the code does."""

import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.runtime.programs.foreign import layers
from tierwise.core import messages as m
from tierwise.core.envelope import open_from_device
from tierwise.core.events import Refusal
from tierwise.core.framing import unframe
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.seeds import derive_seed
from tierwise.core.transfer import Chunk, Grant, LinkMessage, Manifest, Offer, Whole, decode
from tierwise.runtime.security.acl import mosquitto_acl
from tierwise.runtime.security.bundle import Bundle
from tierwise.runtime.security.keys import Identity, KnownKey
from tierwise.runtime.security.signing import Opened, Verifier, to_group
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.presence import Presence, read_presence
from tierwise.runtime.transports.mqtt.sealed import unsealed_from
from tierwise.runtime.transports.mqtt.topics import Channel, Topics

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reference/protocol.md").read_text("utf-8")
ASYNCAPI = json.loads((ROOT / "docs/reference/asyncapi.json").read_text("utf-8"))
SAID = (*m.DeviceMessage.__subclasses__(), *m.CoordinatorMessage.__subclasses__(), *LinkMessage.__subclasses__())


def block(name: str) -> str:
    """Return the JSON of a generated block of the page."""
    found = re.search(rf"<!-- {name}: generated -->\n\n```json\n(.*?)```\n\n<!-- {name}: end -->", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


VECTORS = json.loads(block("vectors"))


def bytes_of(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name])


# -- what is generated


def test_the_page_names_every_message_topic_and_refusal() -> None:
    for kind in (*SAID, Presence):
        assert f"`{kind.__name__}`" in PAGE
    for kind in SAID:
        tag = msgspec.inspect.type_info(kind).tag
        assert f'is `"{tag}"`' in PAGE
    for refusal in Refusal:
        assert re.search(rf"^\| `{refusal.value}` \| \S", PAGE, re.MULTILINE), f"{refusal!r} is not explained"
    for channel in Channel:
        topic = channel.value.replace("*", "GROUP" if channel.value.startswith("group") else "DEVICE")
        assert f"`PREFIX/FEDERATION/{topic}`" in PAGE


# -- the AsyncAPI document


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def resolved(reference: str) -> object:
    found: object = ASYNCAPI
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]  # type: ignore[index]
    return found


def test_every_reference_in_the_document_leads_somewhere() -> None:
    assert len(references(ASYNCAPI)) > 60
    for reference in references(ASYNCAPI):
        assert resolved(reference)


def test_the_document_has_every_message_and_topic() -> None:
    assert set(ASYNCAPI["components"]["messages"]) == {kind.__name__ for kind in (*SAID, Presence)}
    said = {one.rpartition("/")[2] for one in references(ASYNCAPI["operations"])}
    assert said >= set(ASYNCAPI["components"]["messages"])
    topics, device, group = Topics("a/b", "c"), DeviceId("d"), GroupId("g1")
    expected = {topics.ctl(device), topics.chunk(device), topics.presence(device), topics.down(device)}
    expected |= {topics.model(group), topics.group_chunk(group), topics.coordinator}
    names = {"prefix": "a/b", "federation": "c", "device": "d", "group": "g1"}
    assert {channel["address"].format(**names) for channel in ASYNCAPI["channels"].values()} == expected


def test_each_side_sends_only_where_the_access_list_lets_it() -> None:
    topics = Topics("PREFIX", "FEDERATION")
    acl = mosquitto_acl(topics, [DeviceId("DEVICE")])
    rights = {
        user: re.findall(r"topic (\w+) (\S+)", part) for user, part in re.findall(r"user (\S+)\n((?:.+\n)+)", acl)
    }
    names = {"prefix": "PREFIX", "federation": "FEDERATION", "device": "DEVICE", "group": "GROUP"}
    for operation in ASYNCAPI["operations"].values():
        (tag,) = operation["tags"]
        user = "DEVICE" if tag["name"] == "device" else "coordinator"
        topic = resolved(operation["channel"]["$ref"])["address"].format(**names)  # type: ignore[index]
        right = "write" if operation["action"] == "send" else "read"
        filters = [
            re.escape(one).replace(r"\+", "[^/]+").replace("\\#", ".*") for to, one in rights[user] if to == right
        ]
        assert any(re.fullmatch(one, topic) for one in filters), f"{user} may not {right} {topic}"


# -- the examples, by tierwise


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = tmp_path / "bundle.json"
    path.write_text(block("bundle"))
    path.chmod(0o600)
    return Bundle.load(path)


def coordinator() -> Identity:
    signing = Ed25519PrivateKey.from_private_bytes(bytes_of("coordinator_ed25519_private"))
    return Identity(signing, X25519PrivateKey.from_private_bytes(bytes_of("coordinator_x25519_private")))


def test_the_bundle_has_the_keys_of_the_examples(bundle: Bundle) -> None:
    assert (bundle.device, bundle.topics.federation) == (VECTORS["device"], VECTORS["federation"])
    assert bundle.identity.signing.private_bytes_raw() == bytes_of("device_ed25519_private")
    assert bundle.identity.public.signing == bytes_of("device_ed25519_public")
    assert bundle.coordinator == coordinator().public
    assert bundle.coordinator.sealing == bytes_of("coordinator_x25519_public")


def opened(bundle: Bundle, name: str, kind: str) -> Opened:
    """Open a frame of the examples as the coordinator does."""

    class Registered:
        def lookup(self, sender: str) -> KnownKey | None:
            return KnownKey.of(bundle.identity.public) if sender == bundle.device else None

    verifier = Verifier(bundle.topics.federation, Registered())
    return verifier.verify(bytes_of(name), kind=kind, recipient="coordinator", sender=bundle.device)


def test_the_coordinator_takes_the_hello_of_the_examples(bundle: Bundle) -> None:
    presence = opened(bundle, "presence_frame", kinds.PRESENCE)
    assert read_presence(presence.payload) == Presence(online=True)
    assert bytes(presence.payload) == bytes_of("presence")
    frame = opened(bundle, "hello_frame", kinds.CTL)
    assert (frame.order.boot, frame.order.sequence) == (VECTORS["boot"], 1)
    assert bytes(frame.payload) == bytes_of("hello_whole")
    whole, tail = decode(frame.payload)
    assert isinstance(whole, Whole)
    assert bytes(tail) == bytes_of("hello_sealed")
    key = coordinator().sealing
    assert key is not None
    envelope = b"".join(unsealed_from(bundle.device, bundle.topics.federation, key, tail))
    assert envelope == bytes_of("hello_envelope")
    hello, body = open_from_device(envelope)
    assert isinstance(hello, m.Hello)
    assert (hello.schema_hash, len(body)) == (VECTORS["schema_hash"], 0)


def test_the_other_examples_are_read_as_the_page_says(bundle: Bundle) -> None:
    assert hashlib.sha256(VECTORS["schema_json"].encode()).hexdigest() == VECTORS["schema_hash"]
    assert str(derive_seed(VECTORS["seed_of_round"], bundle.device)) == VECTORS["seed_of_device"]
    weights = unframe(bytes_of("weights"))
    assert weights.identity == VECTORS["weights_sha256"]
    assert {name: array.tolist() for name, array in weights.items()} == {
        "0.bias": [0, 0.25, 0.5],
        "0.weight": [[0.75, 1, 1.25], [1.5, 1.75, 2]],
    }
    offer, grant, chunk = (decode(bytes_of(name)) for name in ("offer", "grant", "chunk"))
    assert isinstance(offer[0], Offer)
    assert offer[0].outline.transfer == VECTORS["outline_transfer"]
    assert grant[0] == Grant(transfer=offer[0].outline.transfer, number=1, ranges=((0, 2),))
    assert chunk[0] == Chunk(transfer=offer[0].outline.transfer, index=1)
    assert bytes(chunk[1]) == bytes_of("outline_of")[4:8]

    class Coordinator:
        def lookup(self, sender: str) -> KnownKey | None:
            return KnownKey.of(bundle.coordinator) if sender == "coordinator" else None

    verifier = Verifier(bundle.topics.federation, Coordinator())
    frame = verifier.verify(
        bytes_of("manifest_frame"), kind=kinds.MANIFEST, recipient=to_group("g1"), sender="coordinator", ordered=False
    )
    manifest, tail = decode(frame.payload)
    assert isinstance(manifest, Manifest)
    assert bytes(tail) == bytes_of("outline_of")


# -- the examples, by an implementation that has nothing from tierwise


def test_another_implementation_makes_the_same_bytes(bundle: Bundle) -> None:
    key = bundle.identity.signing
    names = {"federation": VECTORS["federation"], "sender": VECTORS["device"], "recipient": "coordinator"}
    order = {"boot": VECTORS["boot"], "sequence": 1}
    ephemeral = X25519PrivateKey.from_private_bytes(bytes_of("ephemeral_x25519_private"))
    context = (VECTORS["federation"], VECTORS["device"])
    quantities = {"cpu_flops": {"value": 2.5e9, "origin": "measured"}}
    hello = {"kind": "hello", "schema_hash": VECTORS["schema_hash"], "profile": {"quantities": quantities}}
    read = layers.read_message(b"tw", bytes_of("hello_envelope"))
    assert read is not None
    assert read[0].items() >= hello.items()
    sealed = layers.sealed(bytes_of("coordinator_x25519_public"), context, bytes_of("hello_envelope"), ephemeral)
    assert sealed == bytes_of("hello_sealed")
    whole = layers.message(b"tl", {"link": "whole", "size": len(sealed)}, sealed)
    assert whole == bytes_of("hello_whole")
    assert layers.framed(key, {**names, "kind": "ctl", **order}, whole) == bytes_of("hello_frame")
    presence = layers.pack({"online": True})
    assert layers.framed(key, {**names, "kind": "presence", **order}, presence) == bytes_of("presence_frame")
    outline = layers.outline(bytes_of("outline_of"), VECTORS["outline_chunk_size"])
    assert (outline["transfer"], outline["hashes"]) == (VECTORS["outline_transfer"], bytes_of("outline_hashes"))
    assert layers.message(b"tl", {"link": "offer", "outline": outline, "seen": 0}) == bytes_of("offer")
    assert layers.sha256(bytes_of("weights")) == VECTORS["weights_sha256"]
    assert layers.sha256(VECTORS["schema_json"].encode()) == VECTORS["schema_hash"]
