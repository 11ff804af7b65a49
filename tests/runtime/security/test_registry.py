"""The registry: who is enrolled, kept by many programs at once, and a running coordinator sees it."""

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId
from tierwise.runtime.security.keys import COORDINATOR, Identity
from tierwise.runtime.security.ordering import Judgement, Order, ReplayGuard
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.security.signing import TO_COORDINATOR, FrameRejectedError, Rejection, Signer, Verifier

A = DeviceId("a")
KEY = Identity.make()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.make(tmp_path / "registry", prefix="site", federation="digits")


def record(registry: Registry, device: str = "a") -> Path:
    return registry.directory / "devices" / f"{device}.json"


# -- made once


def test_a_registry_keeps_its_names_and_keys(registry: Registry) -> None:
    for again in (Registry.open(registry.directory), Registry.make(registry.directory)):
        assert (again.topics.prefix, again.topics.federation) == ("site", "digits")
        assert again.coordinator().public == registry.coordinator().public
    assert registry.coordinator().public.sealing is not None


def test_a_new_registry_has_default_names(tmp_path: Path) -> None:
    topics = Registry.make(tmp_path / "registry").topics
    assert (topics.prefix, topics.federation) == ("tierwise", "federation")


def test_a_registry_is_of_one_federation(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="is a registry with the federation 'digits', not 'other'"):
        Registry.make(registry.directory, federation="other")
    with pytest.raises(ConfigurationError, match="with the prefix 'site', not 'other'"):
        Registry.make(registry.directory, prefix="other")


def test_names_that_cannot_be_make_no_registry(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="federation"):
        Registry.make(tmp_path / "registry", federation="a/b")
    assert not (tmp_path / "registry").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's: run it on Linux or macOS")
def test_all_of_it_is_private(registry: Registry) -> None:
    registry.enrol(A, KEY.public)
    for path in (registry.directory, *registry.directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_where_there_is_no_registry(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"registry\.json: is not there: `tierwise enrol` makes a registry"):
        Registry.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file: cannot be a registry"):
        Registry.make(tmp_path / "file")


def test_a_crash_while_it_is_made_is_made_good(registry: Registry) -> None:
    key = registry.coordinator().public
    (registry.directory / "registry.json").unlink()
    assert Registry.make(registry.directory).coordinator().public == key


def test_a_lost_identity_is_not_replaced_by_another(registry: Registry) -> None:
    (registry.directory / "coordinator.key.json").unlink()
    with pytest.raises(ConfigurationError, match=r"coordinator\.key\.json: is not there: restore it from a backup"):
        Registry.make(registry.directory).coordinator()


def test_an_identity_without_the_key_for_sealing_is_no_coordinators(registry: Registry) -> None:
    path = registry.directory / "coordinator.key.json"
    path.unlink()
    Identity.make().save(path)
    with pytest.raises(ConfigurationError, match=r"coordinator\.key\.json: holds no key for sealing"):
        registry.coordinator()


def test_what_a_coordinator_remembers_is_beside_its_keys(registry: Registry) -> None:
    first = registry.next_boot()
    assert Registry.open(registry.directory).next_boot() > first
    guard = ReplayGuard()
    guard.judge(KEY.public.signing, TO_COORDINATOR, "ctl", Order(1, 1))
    guard.save(registry.orders)
    again = ReplayGuard.load(Registry.open(registry.directory).orders)
    assert again.judge(KEY.public.signing, TO_COORDINATOR, "ctl", Order(1, 1)) is Judgement.REPLAYED


# -- enrolled, revoked


def test_enrolled_revoked_enrolled_anew(registry: Registry) -> None:
    assert registry.lookup("a") is None
    registry.enrol(A, KEY.public)
    known = registry.lookup("a")
    assert known is not None
    assert (known.raw, known.revoked) == (KEY.public.signing, False)

    revoked = registry.revoke(A)
    assert revoked.revoked is not None
    known = registry.lookup("a")
    assert known is not None
    assert known.revoked
    assert registry.revoke(A) == revoked, "a second time changes nothing"

    other = Identity.make()
    registry.enrol(A, other.public)
    known = registry.lookup("a")
    assert known is not None
    assert (known.raw, known.revoked) == (other.public.signing, False)
    assert [one.fingerprint for one in registry.devices()] == [other.fingerprint]


def test_a_name_that_is_taken(registry: Registry) -> None:
    registry.enrol(A, KEY.public)
    with pytest.raises(ConfigurationError, match=r"'a' is enrolled already, .* run `tierwise revoke a --registry"):
        registry.enrol(A, Identity.make().public)
    known = registry.lookup("a")
    assert known is not None
    assert known.raw == KEY.public.signing


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a\0", ".a", COORDINATOR, "x" * 65])
def test_names_that_no_device_can_have(registry: Registry, name: str) -> None:
    with pytest.raises(ConfigurationError):
        registry.enrol(DeviceId(name), KEY.public)
    assert not list((registry.directory / "devices").iterdir())


@pytest.mark.parametrize(
    "name", ["", "b", "../registry", "../coordinator.key", "/etc/passwd", "a\0", "x" * 300, COORDINATOR]
)
def test_a_name_from_outside_reaches_no_other_file(registry: Registry, name: str) -> None:
    registry.enrol(A, KEY.public)
    assert registry.lookup(name) is None


def test_a_device_that_is_not_there_cannot_be_revoked(registry: Registry) -> None:
    registry.enrol(DeviceId("kitchen"), KEY.public)
    for name in ("kitchn", "../registry"):
        with pytest.raises(ConfigurationError, match=r"no device '.*' is enrolled"):
            registry.revoke(DeviceId(name))
    with pytest.raises(ConfigurationError, match=r"did you mean 'kitchen'"):
        registry.revoke(DeviceId("kitchn"))


# -- seen by a running coordinator


def test_a_running_coordinator_hears_whom_it_should(registry: Registry) -> None:
    verifier = Verifier("digits", Registry.open(registry.directory))
    signer = Signer("a", "digits", KEY.signing, 1)

    def verdict() -> Rejection | None:
        try:
            verifier.verify(
                signer.sign(b"", kind="ctl", recipient=TO_COORDINATOR), kind="ctl", recipient=TO_COORDINATOR
            )
        except FrameRejectedError as error:
            return error.reason
        return None

    assert verdict() is Rejection.UNKNOWN
    registry.enrol(A, KEY.public)
    assert verdict() is None
    registry.revoke(A)
    assert verdict() is Rejection.REVOKED
    registry.enrol(A, Identity.make().public)
    assert verdict() is Rejection.FORGED
    record(registry).unlink()
    assert verdict() is Rejection.UNKNOWN


def test_an_unchanged_file_is_read_once(registry: Registry) -> None:
    registry.enrol(A, KEY.public)
    assert registry.lookup("a") is registry.lookup("a")


def test_a_file_broken_by_hand_shuts_its_device_out_and_nobody_else(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.enrol(A, KEY.public)
    registry.enrol(DeviceId("b"), KEY.public)
    record(registry).write_text("{")
    with caplog.at_level(logging.WARNING):
        assert registry.lookup("a") is None
        assert registry.lookup("a") is None
        assert registry.lookup("b") is not None
    assert len(caplog.records) == 1, "it warns once for each change"
    assert "a.json: is no record of a device" in caplog.text
    with pytest.raises(ConfigurationError, match=r"a\.json: is no record of a device"):
        registry.devices()


def test_a_key_changed_by_hand_needs_its_fingerprint(registry: Registry) -> None:
    registry.enrol(A, KEY.public)
    content = json.loads(record(registry).read_text())
    registry.enrol(DeviceId("b"), Identity.make().public)
    content["public"] = json.loads(record(registry, "b").read_text())["public"]
    record(registry).write_text(json.dumps(content))
    assert registry.lookup("a") is None


def test_a_record_copied_to_another_name_is_not_that_device(registry: Registry) -> None:
    registry.enrol(A, KEY.public)
    record(registry, "b").write_bytes(record(registry).read_bytes())
    assert registry.lookup("b") is None
    assert registry.lookup("a") is not None


# -- many programs at once


def test_of_many_who_enrol_one_name_one_succeeds(registry: Registry) -> None:
    done: list[str] = []
    barrier = threading.Barrier(8)

    def enrol() -> None:
        own, identity = Registry.open(registry.directory), Identity.make()
        barrier.wait()
        try:
            done.append(own.enrol(A, identity.public).fingerprint)
        except ConfigurationError:
            return

    threads = [threading.Thread(target=enrol) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [one.fingerprint for one in registry.devices()]


def test_a_reader_never_sees_half_a_record(registry: Registry) -> None:
    registry.enrol(A, KEY.public)
    stop = threading.Event()
    missing = 0

    def change() -> None:
        own = Registry.open(registry.directory)
        for _ in range(25):
            own.revoke(A)
            own.enrol(A, KEY.public)
        stop.set()

    thread = threading.Thread(target=change)
    thread.start()
    while not stop.is_set():
        missing += registry.lookup("a") is None
    thread.join()
    assert missing == 0


ENROLS = """
import sys
from pathlib import Path
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.security.registry import Registry
registry = Registry.make(Path(sys.argv[1]))
for number in range(10):
    registry.enrol(f"{sys.argv[2]}-{number}", Identity.make().public)
print(registry.coordinator().fingerprint)
"""


def test_processes_that_make_one_registry_agree_on_its_keys(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ENROLS, tmp_path / "registry", f"p{one}"], stdout=subprocess.PIPE, text=True
        )
        for one in range(4)
    ]
    fingerprints = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    registry = Registry.open(tmp_path / "registry")
    assert fingerprints == {registry.coordinator().fingerprint}
    assert len(registry.devices()) == 40
    assert not list(tmp_path.rglob("*.part"))
