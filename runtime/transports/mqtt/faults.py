"""Why there is no connection: who, why, and what to do."""

import socket
import ssl
from dataclasses import dataclass
from typing import Final

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from tierwise.core.errors import TransportError
from tierwise.runtime.transports.mqtt.settings import MqttSettings

_NOT_A_HOST: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_VERSION, _IDENTIFIER, _PASSWORD, _RIGHTS, _BANNED = 132, 133, 134, 135, 138
"""MQTT 5's reason codes; paho translates those of 3.1.1 into them."""
_CERTIFICATE: Final = 140


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason why there is no connection.

    Attributes
    ----------
    text
        A sentence with the broker, the reason and the way out.
    lasting
        Whether trying again would not help.
    """

    text: str
    lasting: bool


def explain(error: BaseException, settings: MqttSettings) -> Fault:
    """Tell what an attempt to connect failed of.

    Parameters
    ----------
    error
        What aiomqtt raised, or a `TransportError`.
    settings
        Whom it tried to reach.
    """
    if isinstance(error, TransportError):
        return Fault(str(error), lasting=True)
    if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
        return _refused(error.rc, settings)
    # aiomqtt passes on the text alone, but what it caught is still the context
    cause = error if isinstance(error, OSError) else error.__context__
    match cause:
        case ssl.SSLCertVerificationError():
            return Fault(
                f"the certificate of the broker {settings.url} cannot be trusted ({cause.verify_message}): give the "
                "certificate of who signed it with `ca_file`, and in the URL the host's name as it is certified",
                lasting=True,
            )
        case ssl.SSLError():
            return Fault(
                f"TLS with the broker {settings.url} fails ({cause.reason or cause}): check that this port is the one "
                "for TLS, and whether it asks for a certificate (`cert_file`, `key_file`)",
                lasting=True,
            )
        case socket.gaierror() if cause.errno in _NOT_A_HOST:
            return Fault(
                f"there is no host named {settings.host!r}: check the broker's URL {settings.url}", lasting=True
            )
        case ConnectionRefusedError():
            return Fault(
                f"nobody listens at {settings.url}: start the broker, or check host and port in its URL", lasting=False
            )
        case OSError() if not isinstance(cause, TimeoutError):
            hint = ", and that this port is the one for TLS" if settings.tls else ""
            return Fault(
                f"the broker {settings.url} cannot be reached ({cause}): check host and port{hint}", lasting=False
            )
        case _:
            return Fault(
                f"the broker {settings.url} does not answer: check host and port, and that this port is "
                f"{'the one for' if settings.tls else 'not one for'} TLS ({error})",
                lasting=False,
            )


def _refused(code: ReasonCode, settings: MqttSettings) -> Fault:
    user = f"user {settings.user!r}" if settings.user is not None else "clients without a user name"
    reason = str(code)
    if code.value in (_PASSWORD, _RIGHTS, _BANNED, _CERTIFICATE):
        text = f"refuses {user} ({reason}): check `username` and `password`, and the broker's list of users"
    elif code.value == _VERSION:
        text = f"does not speak MQTT {settings.protocol} ({reason}): set `protocol` to the other version"
    elif code.value == _IDENTIFIER:
        text = f"refuses the client's identifier ({reason}): use a shorter name or prefix"
    else:
        return Fault(f"the broker {settings.url} refuses the connection ({reason})", lasting=False)
    return Fault(f"the broker {settings.url} {text}", lasting=True)
