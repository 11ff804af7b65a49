"""Who says what where, with which QoS, and whether the broker keeps it: what the types alone do not tell.

`tests/test_protocol_docs.py` and the foreign device's test hold it against what a broker sees.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from tierwise.core import messages as m
from tierwise.core.transfer import Chunk, Gone, Grant, Manifest, Offer, Want, Whole
from tierwise.runtime.transports.mqtt.presence import Presence
from tierwise.runtime.transports.mqtt.topics import Channel

Said = type[msgspec.Struct]

FROM_DEVICES: Final[tuple[Said, ...]] = tuple(m.DeviceMessage.__subclasses__())
FROM_COORDINATOR: Final[tuple[Said, ...]] = tuple(m.CoordinatorMessage.__subclasses__())
TO_GROUPS: Final[tuple[Said, ...]] = (m.RoundAnnounced, m.TargetAnnounced)
"""What is published, so that it comes in a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One kind of thing that is said.

    Attributes
    ----------
    name
        Unique.
    channel
        Where.
    by_device
        Whether a device says it; the coordinator otherwise.
    messages
        What can be said so: on the wire, or within.
    link
        What is on the wire itself; of link messages, or a presence.
    framed
        Whether it has a frame around it.
    qos, retain
        How it is published.
    text
        For people.
    """

    name: str
    channel: Channel
    by_device: bool
    messages: tuple[Said, ...]
    link: tuple[Said, ...]
    framed: bool
    qos: int
    retain: bool
    text: str


SPEECHES: Final = (
    Speech(
        name="device-presence",
        channel=Channel.PRESENCE,
        by_device=True,
        messages=(Presence,),
        link=(Presence,),
        framed=True,
        qos=1,
        retain=True,
        text="A device says that it is there, or not any more; the latter is its last will, too. An empty payload "
        "clears it.",
    ),
    Speech(
        name="device-words",
        channel=Channel.CTL,
        by_device=True,
        messages=(Whole, *FROM_DEVICES),
        link=(Whole,),
        framed=True,
        qos=1,
        retain=False,
        text="An envelope that fits into one message: a frame around `Whole`, whose tail is the envelope, sealed if "
        "the coordinator has a sealing key.",
    ),
    Speech(
        name="device-requests",
        channel=Channel.CTL,
        by_device=True,
        messages=(Offer, Want),
        link=(Offer, Want),
        framed=True,
        qos=0,
        retain=False,
        text="A device offers a large envelope, or asks for chunks that it lacks.",
    ),
    Speech(
        name="device-chunks",
        channel=Channel.CHUNK,
        by_device=True,
        messages=(Chunk,),
        link=(Chunk,),
        framed=False,
        qos=0,
        retain=False,
        text="Chunks of a large envelope, as they were granted.",
    ),
    Speech(
        name="coordinator-presence",
        channel=Channel.COORDINATOR,
        by_device=False,
        messages=(Presence,),
        link=(Presence,),
        framed=True,
        qos=1,
        retain=True,
        text="The coordinator says that it is there, or not any more. An empty payload clears it.",
    ),
    Speech(
        name="coordinator-words",
        channel=Channel.DOWN,
        by_device=False,
        messages=(Whole, *FROM_COORDINATOR),
        link=(Whole,),
        framed=True,
        qos=1,
        retain=False,
        text="An envelope for one device that fits into one message: a frame around `Whole`, whose tail it is.",
    ),
    Speech(
        name="coordinator-credit",
        channel=Channel.DOWN,
        by_device=False,
        messages=(Grant, Gone),
        link=(Grant, Gone),
        framed=True,
        qos=0,
        retain=False,
        text="Credit for an upload, and that a transfer is not known any more.",
    ),
    Speech(
        name="device-manifest",
        channel=Channel.DOWN,
        by_device=False,
        messages=(Manifest, *TO_GROUPS),
        link=(Manifest,),
        framed=True,
        qos=1,
        retain=False,
        text="A large envelope for one device is announced.",
    ),
    Speech(
        name="device-model-chunks",
        channel=Channel.DOWN,
        by_device=False,
        messages=(Chunk,),
        link=(Chunk,),
        framed=False,
        qos=0,
        retain=False,
        text="Its chunks.",
    ),
    Speech(
        name="group-manifest",
        channel=Channel.MODEL,
        by_device=False,
        messages=(Manifest, *TO_GROUPS),
        link=(Manifest,),
        framed=True,
        qos=1,
        retain=True,
        text="What is published for a group: a small envelope is the manifest's tail, a large one follows in chunks. "
        "An empty payload clears it.",
    ),
    Speech(
        name="group-model-chunks",
        channel=Channel.GROUP_CHUNK,
        by_device=False,
        messages=(Chunk,),
        link=(Chunk,),
        framed=False,
        qos=0,
        retain=False,
        text="Its chunks, each once for all devices.",
    ),
)


def carrier(said: Said) -> str:
    """Tell in which layers a message goes over the wire."""
    if said in FROM_DEVICES:
        return "frame (Whole (sealed (envelope (this header, body)))), or in Chunks after an Offer"
    if said in TO_GROUPS:
        return "frame (Manifest (envelope (this header, body))), or in Chunks after the Manifest"
    if said in FROM_COORDINATOR:
        return "frame (Whole (envelope (this header, body)))"
    if said is Chunk:
        return "a link message (this header, tail), without a frame"
    return "frame (msgpack)" if said is Presence else "frame (link message (this header, tail))"
