"""``tierwise enrol``, ``revoke`` and ``acl``, from the arguments to the exit code."""

import json
from pathlib import Path

import pytest

from tierwise.runtime.cli.program import run
from tierwise.runtime.security.bundle import Bundle
from tierwise.runtime.security.registry import Registry

BROKER = ("--broker", "mqtts://broker.example")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def enrol(device: str, *more: str) -> int:
    return run(["enrol", device, "--registry", "reg", *BROKER, *more])


def test_a_device_is_enrolled(capsys: pytest.CaptureFixture[str]) -> None:
    assert enrol("kitchen", "--federation", "digits", "--prefix", "site") == 0
    assert "its bundle: kitchen.bundle.json" in capsys.readouterr().out
    bundle, registry = Bundle.load(Path("kitchen.bundle.json")), Registry.open(Path("reg"))
    (record,) = registry.devices()
    assert record.public == bundle.identity.public
    assert bundle.identity.sealing is None
    assert bundle.coordinator == registry.coordinator().public
    assert (bundle.broker, bundle.ca) == ("mqtts://broker.example", None)
    assert repr(bundle.topics) == repr(registry.topics) == "Topics('site', 'digits')"


def test_the_second_device_needs_no_names(capsys: pytest.CaptureFixture[str]) -> None:
    enrol("kitchen", "--federation", "digits", "--prefix", "site")
    capsys.readouterr()
    assert enrol("attic", "--json", "--out", "out.json") == 0
    told = json.loads(capsys.readouterr().out)
    registry = Registry.open(Path("reg"))
    assert told == {
        "device": "attic",
        "fingerprint": Bundle.load(Path("out.json")).identity.fingerprint,
        "bundle": "out.json",
        "federation": "digits",
        "prefix": "site",
        "coordinator": registry.coordinator().fingerprint,
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("enrol", "a/b", "--registry", "reg", *BROKER), "'a/b' cannot name a device"),
        (("enrol", "coordinator", "--registry", "reg", *BROKER), "is the coordinator's own"),
        (("enrol", "a", "--registry", "reg", "--broker", "broker"), "is no broker's URL"),
        (("enrol", "a", "--registry", "reg", *BROKER, "--ca", "none.pem"), "none.pem: is not there"),
        (("enrol", "a", "--registry", "reg", *BROKER, "--ca", "text"), "text: holds no certificate"),
        (("enrol", "a", "--registry", "text", *BROKER), "text: cannot be a registry"),
        (("enrol", "a", "--registry", "reg", *BROKER, "--prefix", "#"), "the topic prefix '#' cannot be"),
        (("enrol", "a", "--registry", "reg"), "Missing option '--broker'"),
        (("revoke", "a", "--registry", "reg"), "reg/registry.json: is not there: `tierwise enrol`"),
        (("acl", "--for", "mosquitto", "--registry", "reg"), "reg/registry.json: is not there"),
        (("acl", "--for", "emqx", "--registry", "reg"), "'emqx' is not 'mosquitto'"),
    ],
)
def test_misuse(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str) -> None:
    Path("text").write_text("text")
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert text in told.err
    assert told.err.startswith("error: ")
    assert not told.out
    assert [path.name for path in Path().iterdir()] == ["text"], "nothing is left behind"


def test_a_name_that_is_taken_leaves_no_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    enrol("kitchen")
    assert enrol("kitchen", "--out", "second.json") == 2
    assert "is enrolled already" in capsys.readouterr().err
    assert not Path("second.json").exists()


def test_a_bundle_that_is_there_keeps_the_device_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("kitchen.bundle.json").write_text("mine")
    assert enrol("kitchen") == 2
    assert "kitchen.bundle.json: is there already" in capsys.readouterr().err
    assert Path("kitchen.bundle.json").read_text() == "mine"
    assert not Registry.open(Path("reg")).devices()


def test_a_device_is_revoked_and_enrolled_anew(capsys: pytest.CaptureFixture[str]) -> None:
    enrol("kitchen")
    capsys.readouterr()
    assert run(["revoke", "kitchen", "--registry", "reg", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["revoked"]
    assert run(["revoke", "kitchen", "--registry", "reg"]) == 0
    assert "kitchen is revoked since" in capsys.readouterr().out
    assert run(["acl", "--for", "mosquitto", "--registry", "reg"]) == 0
    assert "kitchen" not in capsys.readouterr().out
    assert enrol("kitchen", "--out", "new.json") == 0
    assert run(["revoke", "kitchn", "--registry", "reg"]) == 2
    assert "did you mean 'kitchen'?" in capsys.readouterr().err


def test_the_access_list(capsys: pytest.CaptureFixture[str]) -> None:
    enrol("kitchen")
    enrol("attic")
    capsys.readouterr()
    assert run(["acl", "--for", "mosquitto", "--registry", "reg", "--prefix", "site", "--federation", "digits"]) == 0
    told = capsys.readouterr().out
    rules = [line for line in told.splitlines() if line and not line.startswith("#")]
    assert rules == [
        "user coordinator",
        "topic read site/digits/up/#",
        "topic write site/digits/down/+",
        "topic write site/digits/group/+/+",
        "topic write site/digits/coordinator",
        *(
            line.replace("DEVICE", device)
            for device in ("attic", "kitchen")
            for line in (
                "user DEVICE",
                "topic read site/digits/down/DEVICE",
                "topic read site/digits/group/+/+",
                "topic read site/digits/coordinator",
                "topic write site/digits/up/DEVICE/#",
            )
        ),
    ]
    same = ("acl", "--for", "mosquitto", "--registry", "reg", "--prefix", "site", "--federation", "digits")
    assert run([*same, "--out", "acl"]) == 0
    assert Path("acl").read_text() == told
    assert run([*same, "--out", "no/such/acl"]) == 2
