"""The tables of the protocol's page that follow from the types."""

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import msgspec
import msgspec.inspect as mi
from descriptions import attributes, members, summary
from markdown import table
from speeches import FROM_COORDINATOR, FROM_DEVICES, SPEECHES, Said

from tierwise.core.envelope import HEADER_LIMIT, PROTOCOL_VERSION
from tierwise.core.events import Refusal
from tierwise.core.framing import HEADER_LIMIT as WEIGHTS_HEADER_LIMIT
from tierwise.core.insistence import AgentSettings
from tierwise.core.transfer import BroadcastSettings, DeskSettings, DownloadSettings, LinkMessage, UploadSettings
from tierwise.core.transfer.codec import LINK_HEADER_LIMIT, LINK_VERSION
from tierwise.core.transfer.messages import TAG_LIMIT
from tierwise.core.transfer.ranges import RANGES_LIMIT
from tierwise.runtime.security import frames
from tierwise.runtime.security.ordering import WINDOW
from tierwise.runtime.security.sealing import SEGMENT_BYTES
from tierwise.runtime.transports.mqtt.presence import REASON_LIMIT, Presence
from tierwise.runtime.transports.mqtt.topics import Topics

MEANINGS = {
    "wrong task": "the hello's `schema_hash` is not the federation's: the device's data is for another task",
    "removed": "the device was taken out of the federation for good",
    "unknown device": "the coordinator does not know the device, which has not said hello, or lost its memory of it",
    "wrong version": "there is no version of the protocol that both sides speak; `reason` says who is to be upgraded",
    "quarantined": "the device kept sending what could not be used, and takes no part until it is released",
    "unknown cohort": "there has been no such cohort",
    "not selected": "the device is not among the cohort's participants",
    "duplicate": "the device has delivered for this cohort already",
    "late": "the cohort is closed, or its deadline has passed",
    "wrong base model": "`base` is not the model that the round published",
    "malformed": "it breaks a rule of this page, which `reason` names: hash, layout, values, metrics, samples",
    "stale": "it answers a question that is not open any more; no device is told so",
    "out of place": "the federation is not at the point where this could count",
}
"""Of the refusals, for those who write a device; a text below the member in the code has precedence."""
LONG = 8
"""Values of an enumeration that are listed in a cell at the most."""


def blocks() -> dict[str, str]:
    """Return the generated blocks of the page, by the name in their markers."""
    return {
        "topics": _topics(),
        "publishing": _publishing(),
        "frame-header": _fields_table(frames.Header),
        "presence": _fields_table(Presence),
        "link-messages": _described(LinkMessage.__subclasses__(), "link"),
        "device-messages": _described(FROM_DEVICES, "kind"),
        "coordinator-messages": _described(FROM_COORDINATOR, "kind"),
        "structures": _structures(),
        "refusals": _refusals(),
        "versions": _versions(),
        "limits": _limits(),
        "device-times": _settings({"words": AgentSettings, "upload": UploadSettings, "download": DownloadSettings}),
        "coordinator-times": _settings({"credit": DeskSettings, "publishing": BroadcastSettings}),
    }


# -- topics


def _topics() -> str:
    topics = Topics("PREFIX", "FEDERATION")
    rows = [
        (topics.ctl, "DEVICE", "a device's words and requests"),
        (topics.chunk, "DEVICE", "chunks of what a device uploads"),
        (topics.presence, "DEVICE", "whether a device is there"),
        (topics.down, "DEVICE", "what is said to one device"),
        (topics.model, "GROUP", "the manifest of what is published for a group"),
        (topics.group_chunk, "GROUP", "its chunks"),
    ]
    lines = [(make(name), what) for make, name, what in rows]  # type: ignore[operator]
    lines.append((topics.coordinator, "whether the coordinator is there"))
    return table(("topic", "what for"), [(f"`{topic}`", what) for topic, what in lines])


def _publishing() -> str:
    rows = []
    for speech in SPEECHES:
        link = ", ".join(f"`{said.__name__}`" for said in speech.link)
        rows.append(
            (
                "device" if speech.by_device else "coordinator",
                f"`{speech.channel.value.replace('*', 'GROUP' if 'group' in speech.channel.value else 'DEVICE')}`",
                f"frame of {link}" if speech.framed else link,
                str(speech.qos),
                "yes" if speech.retain else "no",
            )
        )
    return table(("who", "where", "what", "QoS", "retained"), rows)


# -- messages


def _described(kinds: Iterable[Said], tag_field: str) -> str:
    parts = []
    for kind in kinds:
        tag = msgspec.structs.asdict(mi.type_info(kind))["tag"]
        parts.append(f'**`{kind.__name__}`**, `{tag_field}` is `"{tag}"`. {summary(kind)}')
        parts.append(_fields_table(kind))
    return "\n\n".join(part for part in parts if part)


def _structures() -> str:
    seen: dict[Said, None] = {}
    for kind in (*FROM_DEVICES, *FROM_COORDINATOR, *LinkMessage.__subclasses__()):
        for used in _used(mi.type_info(kind)):
            seen.setdefault(used)
    parts = []
    for kind in sorted(seen, key=lambda one: one.__name__):
        if kind not in FROM_DEVICES and kind not in FROM_COORDINATOR and not issubclass(kind, LinkMessage):
            parts += [f"**`{kind.__name__}`**. {summary(kind)}", _fields_table(kind)]
    return "\n\n".join(parts)


def _used(found: Any) -> Iterator[Said]:
    """Yield the classes that a type is made of, itself first."""
    if isinstance(found, mi.StructType):
        yield found.cls
        for field in found.fields:
            yield from _used(field.type)
    elif isinstance(found, mi.UnionType):
        for one in found.types:
            yield from _used(one)
    elif isinstance(found, mi.TupleType):
        for one in found.item_types:
            yield from _used(one)
    elif isinstance(found, mi.DictType):
        yield from _used(found.value_type)
    elif isinstance(found, mi.CollectionType):
        yield from _used(found.item_type)


def _fields_table(kind: Said) -> str:
    info = mi.type_info(kind)
    assert isinstance(info, mi.StructType)
    said = attributes(kind)
    rows = [
        (f"`{field.encode_name}`", type_text(field.type), _default(field), said.get(field.name, ""))
        for field in info.fields
    ]
    if not rows:
        return ""
    if not said:
        return table(("field", "type", "if left out"), [row[:3] for row in rows])
    return table(("field", "type", "if left out", ""), rows)


def _default(field: mi.Field) -> str:
    if field.required:
        return ""
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{msgspec.json.encode(value).decode()}`"


def type_text(found: Any) -> str:
    """Return a type as it is in msgpack, for people."""
    match found:
        case mi.StructType(cls=cls):
            return f"`{cls.__name__}`"
        case mi.EnumType(cls=cls):
            values = list(members(cls))
            if len(values) > LONG:
                return f"text, a `{cls.__name__}`"
            return " or ".join(f'`"{value}"`' for value in values)
        case mi.UnionType(types=types):
            return " or ".join(type_text(one) for one in sorted(types, key=lambda one: isinstance(one, mi.NoneType)))
        case mi.DictType(key_type=key, value_type=value):
            return f"map from {type_text(key)} to {type_text(value)}"
        case mi.TupleType(item_types=items):
            return f"array of {len(items)}: {', '.join(type_text(one) for one in items)}"
        case mi.CollectionType(item_type=item):
            return f"array of {type_text(item)}"
        case mi.StrType():
            pattern = f" of the form `{found.pattern}`" if found.pattern else ""
            return "text" + pattern + _bounds(found.min_length, found.max_length, " characters")
        case mi.IntType():
            return "integer" + _bounds(found.ge, found.le, "")
    names: dict[type, str] = {
        mi.FloatType: "float",
        mi.BoolType: "boolean",
        mi.BytesType: "bytes (bin)",
        mi.NoneType: "nil",
    }
    return names.get(type(found), "anything")


def _bounds(least: int | None, most: int | None, unit: str) -> str:
    if least is None and most is None:
        return ""
    return f", {'' if least is None else f'{least} '}to {'' if most is None else _number(most)}{unit}"


def _refusals() -> str:
    rows = [(f"`{value}`", text or MEANINGS.get(value, "see its `reason`")) for value, text in members(Refusal).items()]
    return table(("refusal", "what it means"), rows)


# -- numbers


def _versions() -> str:
    return table(
        ("where", "version"),
        [
            ("frame, byte 2", str(PROTOCOL_VERSION)),
            ("envelope, byte 2", str(PROTOCOL_VERSION)),
            ("link message, byte 2", str(LINK_VERSION)),
            ("sealed data, byte 3", "1"),
        ],
    )


def _limits() -> str:
    return table(
        ("what", "at the most"),
        [
            ("header of a frame", f"{_number(frames.HEADER_LIMIT)} bytes"),
            ("payload of a frame", f"{_number(frames.PAYLOAD_LIMIT)} bytes"),
            ("header of an envelope", f"{_number(HEADER_LIMIT)} bytes"),
            ("header of a link message", f"{_number(LINK_HEADER_LIMIT)} bytes"),
            ("header of a frame of weights", f"{_number(WEIGHTS_HEADER_LIMIT)} bytes"),
            ("ranges in one `Grant` or `Want`", _number(RANGES_LIMIT)),
            ("`tag` of a `Manifest`", f"{TAG_LIMIT} characters"),
            ("`reason` of a presence", f"{REASON_LIMIT} characters"),
            ("sequence numbers that a frame may be behind", str(WINDOW - 1)),
            ("data in a segment of sealed data", f"{_number(SEGMENT_BYTES)} bytes"),
        ],
    )


def _settings(kinds: dict[str, type]) -> str:
    rows = []
    for what, kind in kinds.items():
        assert is_dataclass(kind)
        said = attributes(kind)
        for field in fields(kind):
            assert field.default is not MISSING
            rows.append((f"{what}: `{field.name}`", _number(field.default), said.get(field.name, "")))
    return table(("name", "value", "what it is"), rows)


def _number(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
