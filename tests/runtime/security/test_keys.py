"""Identities: made, kept, loaded; and who is whose key."""

import base64
import json
from pathlib import Path

import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.security.keys import COORDINATOR, CoordinatorKey, Identity, PublicIdentity


@pytest.mark.parametrize("sealing", [False, True])
def test_round_trip(tmp_path: Path, sealing: bool) -> None:
    identity = Identity.make(sealing=sealing)
    path = tmp_path / "key.json"
    identity.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = Identity.load(path)
    assert loaded.public == identity.public
    assert (loaded.sealing is not None) == sealing
    loaded.public.verifying_key().verify(identity.signing.sign(b"x"), b"x")


def test_two_identities_differ() -> None:
    assert Identity.make().public != Identity.make().public
    assert Identity.make().fingerprint != Identity.make().fingerprint


def test_a_fingerprint_is_of_both_keys() -> None:
    one, other = Identity.make(sealing=True).public, Identity.make(sealing=True).public
    mixed = PublicIdentity(signing=one.signing, sealing=other.sealing)
    assert (
        len({one.fingerprint, other.fingerprint, mixed.fingerprint, PublicIdentity(signing=one.signing).fingerprint})
        == 4
    )
    assert one.fingerprint.startswith("SHA256:")
    assert len(one.fingerprint) == 7 + 43


def test_an_identity_is_never_replaced(tmp_path: Path) -> None:
    first = Identity.make()
    first.save(tmp_path / "key.json")
    with pytest.raises(ConfigurationError, match=r"key\.json: is there already, and is not replaced: a lost key"):
        Identity.make().save(tmp_path / "key.json")
    assert Identity.load(tmp_path / "key.json").public == first.public


def test_nothing_prints_a_private_key(tmp_path: Path) -> None:
    identity = Identity.make(sealing=True)
    secret = base64.b64encode(identity.signing.private_bytes_raw()).decode()
    identity.save(tmp_path / "key.json")
    assert secret in (tmp_path / "key.json").read_text()
    assert secret not in repr(identity)
    assert repr(identity.signing.private_bytes_raw()) not in repr(identity)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is no identity"),
        ("[]", "is no identity"),
        ('{"format": "tierwise.bundle.1", "signing": ""}', "is no identity"),
        (json.dumps({"format": "tierwise.identity.1", "signing": "AAAA"}), "length >= 32"),
        (
            json.dumps({"format": "tierwise.identity.1", "signing": base64.b64encode(bytes(33)).decode()}),
            "length <= 32",
        ),
        ("\ud800".encode("utf-8", "surrogatepass"), "is no identity"),
        ("[" * 100_000, "is no identity"),
    ],
)
def test_a_damaged_file_names_itself_and_a_remedy(tmp_path: Path, content: str | bytes, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=text) as caught:
        Identity.load(path)
    assert str(path) in str(caught.value)
    assert "restore it from a backup" in str(caught.value)


def test_a_lost_file_names_itself_and_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"key\.json: is not there: restore it"):
        Identity.load(tmp_path / "key.json")


def test_a_device_hears_the_coordinator_alone() -> None:
    public = Identity.make(sealing=True).public
    keys = CoordinatorKey(public)
    known = keys.lookup(COORDINATOR)
    assert known is not None
    assert (known.raw, known.revoked) == (public.signing, False)
    assert keys.lookup("kitchen") is None
    assert keys.lookup("") is None
