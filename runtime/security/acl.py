"""What a broker must allow whom.

Signatures keep a device from being taken for another; a broker's access list keeps it, besides, from flooding the
others' topics, from putting up retained messages there, and from reading what is said to them.
"""

from collections.abc import Iterable, Iterator

from tierwise.core.ids import DeviceId
from tierwise.runtime.security.keys import COORDINATOR
from tierwise.runtime.transports.mqtt.topics import Topics

_HEAD = """\
# Who may read and write what in the federation {federation}. Made by `tierwise acl`: make it anew after each enrolment
# and revocation, and let mosquitto read it again with SIGHUP (`systemctl reload mosquitto`).
#
# In mosquitto.conf:
#     allow_anonymous false
#     acl_file THIS FILE
#     password_file FILE    one user for each name below, by `mosquitto_passwd FILE NAME`; or, with certificates,
#                           `require_certificate true` and `use_identity_as_username true`
"""


def mosquitto_acl(topics: Topics, devices: Iterable[DeviceId]) -> str:
    """Return the content of mosquitto's ``acl_file``.

    Everybody has an entry of his own, rather than one pattern for all: a user that the broker knows but the registry
    does not, or not any more, may do nothing.

    Parameters
    ----------
    topics
        Of the federation.
    devices
        Who takes part; each is the name of a user, and so is ``coordinator``.
    """
    entries = [_entry(COORDINATOR, _coordinator_rights(topics))]
    entries += (_entry(device, _device_rights(topics, device)) for device in sorted(devices))
    return "\n".join((_HEAD.format(federation=topics.federation), *entries))


def _coordinator_rights(topics: Topics) -> Iterator[tuple[str, str]]:
    yield "read", topics.all_up
    yield "write", topics.all_down
    yield "write", topics.all_groups
    yield "write", topics.coordinator


def _device_rights(topics: Topics, device: DeviceId) -> Iterator[tuple[str, str]]:
    yield "read", topics.down(device)
    yield "read", topics.all_groups
    yield "read", topics.coordinator
    yield "write", topics.own(device)


def _entry(user: str, rights: Iterable[tuple[str, str]]) -> str:
    return "".join((f"user {user}\n", *(f"topic {right} {topic}\n" for right, topic in rights)))
