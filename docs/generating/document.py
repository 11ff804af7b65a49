"""The AsyncAPI document."""

from typing import Any, Final

import msgspec
from descriptions import attributes, summary
from speeches import FROM_DEVICES, SPEECHES, TO_GROUPS, Said, Speech, carrier

from tierwise.core import messages as m
from tierwise.core.envelope import PROTOCOL_VERSION
from tierwise.core.transfer import Chunk, Manifest, Whole
from tierwise.runtime.transports.mqtt.settings import PORTS
from tierwise.runtime.transports.mqtt.topics import PREFIX, Channel

Json = dict[str, Any]

CONTENT: Final = "application/msgpack"
BODIES: Final = {
    m.UpdateSent: "the delta",
    m.RoundAnnounced: "the group's model",
    m.TargetAnnounced: "the target model",
}
"""Messages with a frame of weights after the header."""
TAILS: Final = {
    Whole: "the envelope",
    Chunk: "the chunk's bytes",
    Manifest: "the envelope, if it has one chunk only",
}
_SCHEMAS: Final = "#/components/schemas/"
_DESCRIPTION: Final = (
    "What a device and the coordinator of a federation say to each other over an MQTT broker. The payloads of this "
    "document are the msgpack headers of messages; around them are binary layers (frame, link message, sealing, "
    "envelope), which AsyncAPI has no words for: protocol.md, beside this document, has them byte by byte. "
    "Each message says in `x-layers` what is around it, and in `x-body` what follows its header."
)


def document() -> Json:
    """Return the document, which is a function of the types and of `SPEECHES`."""
    said = {one: None for speech in SPEECHES for one in (*speech.messages, *speech.link)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tierwise",
            "version": str(PROTOCOL_VERSION),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT,
        "servers": {scheme: _server(scheme) for scheme in sorted(PORTS, reverse=True)},
        "channels": {_key(channel): _channel(channel) for channel in Channel},
        "operations": dict(_operation(speech, sends) for speech in SPEECHES for sends in (True, False)),
        "components": {
            "messages": {one.__name__: _message(one) for one in said},
            "schemas": _schemas(list(said)),
        },
    }


def _server(scheme: str) -> Json:
    will = "the retained presence that says `online: false`, in a frame signed for this connection"
    return {
        "host": "{broker}",
        "protocol": "secure-mqtt" if scheme == "mqtts" else "mqtt",
        "protocolVersion": "3.1.1",
        "description": f"Any broker of MQTT 3.1.1 or 5; the usual port is {PORTS[scheme]}.",
        "variables": {"broker": {"description": "Host, and port if it is not the usual one.", "default": "localhost"}},
        "bindings": {
            "mqtt": {
                "clientId": "PREFIX/FEDERATION/DEVICE",
                "cleanSession": False,
                "lastWill": {
                    "topic": "PREFIX/FEDERATION/up/DEVICE/presence",
                    "qos": 1,
                    "retain": True,
                    "message": will,
                },
                "keepAlive": 30,
                "bindingVersion": "0.2.0",
            }
        },
    }


def _key(channel: Channel) -> str:
    return channel.name.lower().replace("_", "-")


def _channel(channel: Channel) -> Json:
    whose = "group" if channel in (Channel.MODEL, Channel.GROUP_CHUNK) else "device"
    tail = channel.value.replace("*", f"{{{whose}}}")
    parameters = {
        "prefix": {"description": "Names the application on the broker; up to four levels.", "default": PREFIX},
        "federation": {"description": "The federation's name."},
    }
    if "*" in channel.value:
        parameters[whose] = {"description": f"The {whose}'s name."}
    messages = {one.__name__: None for speech in SPEECHES if speech.channel is channel for one in speech.messages}
    return {
        "address": f"{{prefix}}/{{federation}}/{tail}",
        "parameters": parameters,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operation(speech: Speech, sends: bool) -> tuple[str, Json]:
    """Return what one side does: it sends, or the other one receives."""
    device = speech.by_device == sends
    role, action = ("device" if device else "coordinator"), ("send" if sends else "receive")
    # A receiver's QoS is that of its subscription: chunks are not worth an acknowledgement, for the rest it is 1.
    qos = speech.qos if sends or speech.channel is Channel.GROUP_CHUNK else 1
    binding: Json = {"qos": qos, "bindingVersion": "0.2.0"} | ({"retain": speech.retain} if sends else {})
    return f"{role}-{action}s-{speech.name}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{_key(speech.channel)}"},
        "title": speech.name.replace("-", " "),
        "description": speech.text,
        "tags": [{"name": role}],
        "messages": [{"$ref": f"#/channels/{_key(speech.channel)}/messages/{one.__name__}"} for one in speech.messages],
        "bindings": {"mqtt": binding},
    }


def _message(said: Said) -> Json:
    described: Json = {
        "name": said.__name__,
        "title": said.__name__,
        "summary": summary(said),
        "contentType": CONTENT,
        "payload": {"$ref": f"{_SCHEMAS}{said.__name__}"},
        "x-layers": carrier(said),
    }
    if said in BODIES:
        described["x-body"] = f"a frame of weights (safetensors): {BODIES[said]}"
    elif said in TAILS:
        described["x-body"] = f"tail: {TAILS[said]}"
    return described


# -- schemas


def _schemas(said: list[Said]) -> Json:
    _, found = msgspec.json.schema_components(said, ref_template=f"{_SCHEMAS}{{name}}")
    classes = _classes(said)
    schemas = {name: _adapted(schema) for name, schema in sorted(found.items())}
    for name, schema in schemas.items():
        if name in classes:
            _describe(schema, classes[name])
    return schemas


def _classes(said: list[Said]) -> dict[str, Said]:
    """Return all classes below `msgspec.Struct` whose schema may be among those of these, by name."""
    found = {one.__name__: one for one in (*said, *FROM_DEVICES, *TO_GROUPS)}
    rest = list(msgspec.Struct.__subclasses__())
    while rest:
        one = rest.pop()
        if one.__module__.startswith("tierwise."):
            found.setdefault(one.__name__, one)
        rest += one.__subclasses__()
    return found


def _describe(schema: Json, kind: Said) -> None:
    schema["description"] = summary(kind)
    said = attributes(kind)
    for field, described in schema.get("properties", {}).items():
        if said.get(field) and "$ref" not in described:
            described["description"] = said[field]


def _adapted(schema: Any) -> Any:
    """Say in JSON schema's draft 7, which AsyncAPI has, what msgspec says in a later one, and bytes as they are."""
    if isinstance(schema, list):
        return [_adapted(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _adapted(value) for key, value in schema.items()}
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
        made["additionalItems"] = False
    if made.pop("contentEncoding", None) == "base64":
        made["format"] = "binary"
    return made
