"""What comes, before anybody acts on it: authentic and readable, or dropped and counted."""

import logging
from typing import Final

from tierwise.core.errors import ProtocolError
from tierwise.core.transfer import LinkMessage, decode
from tierwise.runtime.security.signing import FrameRejectedError, FrameVerifier, Opened, Rejection
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.complaints import Complaints
from tierwise.runtime.transports.mqtt.connection import Incoming
from tierwise.runtime.transports.mqtt.counters import DropCounters
from tierwise.runtime.transports.mqtt.presence import Age, Newest, Presence, read_presence

_LOG: Final = logging.getLogger(__name__)

_MENDABLE: Final = frozenset(
    {Rejection.VERSION, Rejection.SCHEME, Rejection.UNKNOWN, Rejection.REVOKED, Rejection.FORGED}
)
"""What a person can mend; the rest is the network's, or an attacker's."""


class Screen:
    """Judges what arrives at one end of the transport.

    Parameters
    ----------
    verifier
        Whom this end believes.
    dropped
        Where is counted what cannot be read, and what is older than what came before.
    """

    def __init__(self, verifier: FrameVerifier, dropped: DropCounters) -> None:
        self.verifier = verifier
        self._dropped = dropped
        self._newest = Newest()
        self._complaints = Complaints(_LOG)
        self.revoked: set[str] = set()
        """Senders that were revoked, and have spoken all the same."""

    def opened(self, frame: bytes, kind: str, recipient: str, sender: str, *, ordered: bool = True) -> Opened | None:
        """Return what a frame says, if it stands the checks of `FrameVerifier.verify`."""
        try:
            return self.verifier.verify(frame, kind=kind, recipient=recipient, sender=sender, ordered=ordered)
        except FrameRejectedError as error:
            if error.reason is Rejection.REVOKED:
                self.revoked.add(sender)
            if error.reason in _MENDABLE:
                self._complaints.tell((sender, error.reason), "%s", error)
            else:
                _LOG.debug("%s", error)
            return None

    def message(self, payload: bytes | memoryview) -> tuple[LinkMessage, memoryview] | None:
        """Return the link message of a payload, if it is one."""
        try:
            return decode(payload)
        except ProtocolError as error:
            self._dropped.unreadable += 1
            _LOG.debug("dropped a message: %s", error)
            return None

    def age(self, incoming: Incoming, opened: Opened) -> Age:
        """Return how old a retained message is, compared with all of its topic that came before."""
        age = self._newest.judge(incoming.topic, opened.order)
        self._dropped.stale += age is Age.OLDER
        return age

    def presence(self, incoming: Incoming, recipient: str, sender: str) -> Presence | None:
        """Return whether somebody is there, if that is a newer word than the last one."""
        if not incoming.payload:
            return None  # cleared, by whoever said before that he leaves
        opened = self.opened(incoming.payload, kinds.PRESENCE, recipient, sender, ordered=False)
        if opened is None:
            return None
        presence = read_presence(opened.payload)
        if presence is None:
            self._dropped.unreadable += 1
            return None
        return presence if self.age(incoming, opened) is Age.NEWER else None
