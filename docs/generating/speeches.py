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


_ACKNOWLEDGED: Final = (Presence, Whole, Manifest)
"""What is lost with a message of these is not asked for again, so the broker acknowledges them: QoS 1."""


@dataclass(frozen=True, slots=True)
class Speech:
    """One kind of thing that is said.

    Attributes
    ----------
    name
        Unique.
    channel
        Where.
    link
        What is on the wire itself: link messages, or a presence.
    text
        For people.
    within
        What else can be said so, in the envelope that ``link`` carries.
    retain
        Whether the broker keeps it.
    """

    name: str
    channel: Channel
    link: tuple[Said, ...]
    text: str
    within: tuple[Said, ...] = ()
    retain: bool = False

    @property
    def by_device(self) -> bool:
        """Whether a device says it; the coordinator otherwise."""
        return self.channel in (Channel.PRESENCE, Channel.CTL, Channel.CHUNK)

    @property
    def messages(self) -> tuple[Said, ...]:
        """What can be said so: on the wire, or within."""
        return self.link + self.within

    @property
    def framed(self) -> bool:
        """Whether it has a frame around it; chunks have none, their hashes are in what announces them."""
        return self.link != (Chunk,)

    @property
    def qos(self) -> int:
        """How it is published."""
        return int(set(self.link) <= set(_ACKNOWLEDGED))


SPEECHES: Final = (
    Speech(
        "device-presence",
        Channel.PRESENCE,
        (Presence,),
        "A device says that it is there, or not any more; the latter is its last will, too. An empty payload clears "
        "it.",
        retain=True,
    ),
    Speech(
        "device-words",
        Channel.CTL,
        (Whole,),
        "An envelope that fits into one message: a frame around `Whole`, whose tail is the envelope, sealed if the "
        "coordinator has a sealing key.",
        within=FROM_DEVICES,
    ),
    Speech(
        "device-requests",
        Channel.CTL,
        (Offer, Want),
        "A device offers a large envelope, or asks for chunks that it lacks.",
    ),
    Speech("device-chunks", Channel.CHUNK, (Chunk,), "Chunks of a large envelope, as they were granted."),
    Speech(
        "coordinator-presence",
        Channel.COORDINATOR,
        (Presence,),
        "The coordinator says that it is there, or not any more. An empty payload clears it.",
        retain=True,
    ),
    Speech(
        "coordinator-words",
        Channel.DOWN,
        (Whole,),
        "An envelope for one device that fits into one message: a frame around `Whole`, whose tail it is.",
        within=FROM_COORDINATOR,
    ),
    Speech(
        "coordinator-credit",
        Channel.DOWN,
        (Grant, Gone),
        "Credit for an upload, and that a transfer is not known any more.",
    ),
    Speech(
        "device-manifest",
        Channel.DOWN,
        (Manifest,),
        "A large envelope for one device is announced.",
        within=TO_GROUPS,
    ),
    Speech("device-model-chunks", Channel.DOWN, (Chunk,), "Its chunks."),
    Speech(
        "group-manifest",
        Channel.MODEL,
        (Manifest,),
        "What is published for a group: a small envelope is the manifest's tail, a large one follows in chunks. An "
        "empty payload clears it.",
        within=TO_GROUPS,
        retain=True,
    ),
    Speech("group-model-chunks", Channel.GROUP_CHUNK, (Chunk,), "Its chunks, each once for all devices."),
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
