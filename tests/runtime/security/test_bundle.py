"""A bundle: all that a device needs, in one private file."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId
from tierwise.runtime.security.bundle import Bundle, check_broker, check_ca
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.transports.mqtt.topics import Topics


def certificate(identity: Identity) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, identity.signing.public_key(), 1, start, start.replace(year=2100))
    return builder.sign(identity.signing, None).public_bytes(Encoding.PEM).decode()


CA_KEY = Identity.make()
CA = certificate(CA_KEY)


def bundle(ca: str | None = None) -> Bundle:
    return Bundle(
        device=DeviceId("kitchen"),
        identity=Identity.make(),
        topics=Topics("site", "digits"),
        coordinator=Identity.make(sealing=True).public,
        broker="mqtts://broker.example:8883",
        ca=ca,
    )


@pytest.mark.parametrize("ca", [None, CA])
def test_round_trip(tmp_path: Path, ca: str | None) -> None:
    one = bundle(ca)
    path = tmp_path / "kitchen.json"
    one.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = Bundle.load(path)
    assert (again.device, again.coordinator, again.broker, again.ca) == (one.device, one.coordinator, one.broker, ca)
    assert (again.topics.prefix, again.topics.federation) == ("site", "digits")
    assert again.identity.public == one.identity.public


def test_a_bundle_is_never_replaced(tmp_path: Path) -> None:
    bundle().save(tmp_path / "kitchen.json")
    with pytest.raises(ConfigurationError, match=r"kitchen\.json: is there already, and is not replaced: move it away"):
        bundle().save(tmp_path / "kitchen.json")


def test_a_bundle_that_others_can_read_is_refused(tmp_path: Path) -> None:
    bundle().save(tmp_path / "kitchen.json")
    (tmp_path / "kitchen.json").chmod(0o644)
    with pytest.raises(ConfigurationError, match="run `chmod 600"):
        Bundle.load(tmp_path / "kitchen.json")


def test_nothing_prints_its_private_key(tmp_path: Path) -> None:
    one = bundle()
    one.save(tmp_path / "kitchen.json")
    secret = json.loads((tmp_path / "kitchen.json").read_text())["identity"]["signing"]
    assert secret not in repr(one)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("identity"),
        lambda content: content.update(format="tierwise.bundle.2"),
        lambda content: content.update(prefix="#"),
        lambda content: content.update(federation="a/b"),
        lambda content: content.update(broker="ftp://x"),
        lambda content: content.update(ca="none"),
        lambda content: content["coordinator"].update(signing="AAAA"),
    ],
)
def test_a_damaged_bundle_names_its_file(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = tmp_path / "kitchen.json"
    bundle().save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=r"kitchen\.json: "):
        Bundle.load(path)


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"kitchen\.json: is not there: `tierwise enrol`"):
        Bundle.load(tmp_path / "kitchen.json")


@pytest.mark.parametrize(
    "url", ["mqtt://localhost", "mqtts://10.0.0.2:8883", "mqtts://[::1]:8883", "mqtts://b.example/"]
)
def test_urls_of_brokers(url: str) -> None:
    assert check_broker(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "broker", "broker:1883", "http://b", "mqtt://", "mqtt://:1883", "mqtt://b:x", "mqtt://b:70000", "mqtt://b:0",
     "mqtt://b/topic", "mqtt://b?x=1", "mqtt://b#x", "mqtt://[::1"],
)  # fmt: skip
def test_urls_of_something_else(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no broker's URL"):
        check_broker(url)


@pytest.mark.parametrize("url", ["mqtt://me:hunter2@b", "mqtt://hunter2@b:1", "mqtt://me:hunter2@b:x"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_broker(url)
    assert "hunter2" not in str(caught.value)


def test_certificates() -> None:
    assert check_ca(CA.encode()) == CA
    assert check_ca((CA + CA).encode()) == CA + CA
    for nothing in (b"", b"none", CA.encode()[:-40], CA.encode() + b"\xff"):
        with pytest.raises(ConfigurationError, match="no certificate in PEM form"):
            check_ca(nothing)
    key = CA_KEY.signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigurationError, match="holds a private key"):
        check_ca(CA.encode() + key)
