"""What the programs are told, and what they say against it. Nothing here needs a broker."""

import socket
from importlib.util import find_spec

import pytest

from tests.runtime.broker import free_port
from tests.runtime.programs.processes import configuration
from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import is_device_id
from tierwise.plugins import Plugins
from tierwise.runtime import broker
from tierwise.runtime.cli.agent_link import host_id
from tierwise.runtime.cli.dataspec import Share, read_data_spec

PLUGINS = Plugins.discover()
DIGITS = "part, parts, seed, alpha, shards, holdout, minimum, samples, reserved, partition"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go to a folder that has nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["coordinator", "agent", "status", "broker"])
def test_each_command_explains_itself_with_examples(here, command) -> None:
    code, out, err = here(command, "--help")
    assert (code, err) == (0, "")
    assert f"Examples:\n    tierwise {command}" in out


# -- what an agent trains on


def test_a_data_spec_gives_source_share_and_options() -> None:
    spec = read_data_spec("digits:part=3, parts=9,seed=7,partition=iid", PLUGINS)
    assert (spec.source.task.name, spec.share) == ("digits", Share(part=3, parts=9, seed=7))
    assert len(spec.load().train) == 160
    assert read_data_spec("digits", PLUGINS).share == Share(part=0, parts=1, seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digit", "there is no data source named 'digit' (did you mean 'digits'?); installed: "),
        ("", "there is no data source named ''"),
        ("digits:prat=3", f"there is no key 'prat' (did you mean 'part'?), which is set to 3; the keys: {DIGITS}"),
        ("digits:alhpa=0.3", "there is no key 'alhpa' (did you mean 'alpha'?), which is set to 0.3; the keys: "),
        ("digits:alpha=much", "alpha: option 'alpha' of data source 'digits' is 'much', allowed is a number of at"),
        ("digits:partition=idd", "'partition' of data source 'digits' is 'idd' (did you mean 'iid'?), allowed is"),
        ("digits:part=-1,parts=2", "option 'part' of the share of the data is -1, allowed is an integer of at least 0"),
        ("digits:part=2,parts=2", "part: is 2, with parts=2 it is from 0 to 1"),
        ("digits:part", "'part' is not KEY=VALUE: it has the form SOURCE[:KEY=VALUE,...]"),
        ("digits:part=1,part=2", "part is set twice"),
    ],
)  # fmt: skip
def test_a_fault_of_a_data_spec_names_the_key_what_is_allowed_and_the_nearest(text, message) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_data_spec(text, PLUGINS)
    assert str(caught.value).startswith(f"--data {text}: ")
    assert message in str(caught.value)


def test_a_share_that_the_source_cannot_give_names_the_spec() -> None:
    with pytest.raises(ConfigurationError, match=r"^--data digits:parts=1000: data source 'digits' has 1797 samples"):
        read_data_spec("digits:parts=1000", PLUGINS).load()


# -- who an agent is, and where it goes


@pytest.mark.parametrize(
    ("host", "device"),
    [("kitchen.local", "kitchen.local"), ("_küche 1", "k-che-1"), ("--", "device"), ("a" * 99, "a" * 64)],
)
def test_a_host_name_becomes_a_device_name(host, device) -> None:
    assert host_id(host) == device
    assert is_device_id(host_id())


LOCAL = ("--broker", "mqtt://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--broker: say where the broker is: --broker mqtts://HOST[:PORT], or a --bundle that knows it"),
        (["--broker", "localhost"], "--broker: 'localhost' is no broker's URL: it has the form mqtts://HOST[:PORT]"),
        (["--broker", "mqtt://10.0.0.1"], "--broker: mqtt://10.0.0.1:1883 is not on this machine"),
        (["--broker", "mqtts://10.0.0.1"], "--bundle: without it nothing is signed, and whoever reaches mqtts://10.0.0.1"),
        (["--broker", "mqtt://u:secret@10.0.0.1"], "say --insecure if you mean it"),
        ([*LOCAL, "--id", "a b"], "--id: 'a b' cannot name a device: 1 to 64 of"),
        ([*LOCAL, "--ca", "ca.pem"], "--ca: is for TLS, and mqtt://127.0.0.1:1 is without: use mqtts://"),
        ([*LOCAL, "--declare", "cpu_flops"], "--declare: 'cpu_flops' is not QUANTITY=VALUE, such as cpu_flops=2e9; "),
        ([*LOCAL, "--declare", "cpu_flops=-1"], "a quantity is a finite number of at least 0, got -1.0"),
        ([*LOCAL, "--declare", "CPU=1"], "'CPU' cannot name a quantity"),
        ([*LOCAL, "--declare", "mains_bool=2"], "mains_bool: a bool is 0 or 1, got 2.0; known quantities: cpu_count, "),
        ([*LOCAL, "--password-file", "none"], "the password file none cannot be read: No such file or directory"),
        (["--bundle", "none.json"], "none.json: is not there"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_an_agent_is_one_line_and_2(here, elsewhere, arguments, message) -> None:
    code, out, err = here("agent", "--data", "clouds", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert message in err
    assert "secret" not in err


def test_a_bundle_decides_who_the_device_is(here, elsewhere) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    assert here("enrol", "kitchen", "--registry", "registry", "--broker", url)[0] == 0
    bundle = ("agent", "--data", "clouds", "--bundle", "kitchen.bundle.json")
    code, _, err = here(*bundle, "--id", "cellar")
    assert code == 2
    assert err == "error: --id: is 'cellar', and the bundle kitchen.bundle.json is for 'kitchen': leave it out\n"
    (elsewhere / "broken.json").write_text("{}")
    (elsewhere / "broken.json").chmod(0o600)
    code, _, err = here("agent", "--data", "clouds", "--bundle", "broken.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "bundle of tierwise" in err


@pytest.mark.timeout(60)
def test_a_broker_that_is_not_there_is_told(here) -> None:
    code, _, err = here("agent", "--broker", "mqtt://no-such-host.invalid", "--data", "clouds", "--insecure")
    assert code == 1
    assert "error: there is no host named 'no-such-host.invalid'" in err or "cannot be reached" in err


# -- a coordinator's file


def faults(here, folder, text, *more):
    path = folder / "run.toml"
    path.write_text(text)
    code, out, err = here("coordinator", path, *more)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: ")
    return err.removeprefix(f"error: {path}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[mqtt]\nbroker = "mqtt://10.0.0.1"', "mqtt.broker: mqtt://10.0.0.1:1883 is not on this machine"),
        ('[mqtt]\nbroker = "mqtts://10.0.0.1"', "security.registry: without it no message is signed"),
        ('[mqtt]\nbroker = "http://x"', "mqtt.broker: 'http://x' is no broker's URL"),
        ('[mqtt]\nbroker = "mqtt://u:geheim@localhost"', "mqtt.broker: broker is 'mqtt://…@localhost': user and "),
        ('[mqtt]\nprefix = "a//b"', "mqtt: the topic prefix 'a//b' cannot be"),
        ('[mqtt]\nusername = "c"\npassword_file = "none"', "mqtt: the password file "),
        ('[mqtt]\npassword_file = "none"', "mqtt.password_file: password_file is set without username"),
        ('[mqtt]\nca_file = "ca.pem"', "mqtt.ca_file: is for TLS"),
        ('[federation]\nname = "my run"', "federation.name: is 'my run', and over a broker it is a part of topics"),
        ('[security]\nregistry = "none"', "security.registry: "),
        ("[store]\npath = 3", "store.path: option 'path' of [store] is 3, allowed is a text"),
        ("[stor]\npath = 'x'", "stor: there is no table of this name (did you mean 'store'?)"),
        ("[security]\ninsecur = true", "security.insecur: [security] has no option 'insecur' (did you mean 'insec"),
    ],
)  # fmt: skip
def test_a_fault_of_a_coordinators_file_names_file_and_key(here, tmp_path, text, message) -> None:
    err = faults(here, tmp_path, text)
    assert err.startswith(message)
    assert "geheim" not in err


def test_a_registry_of_another_federation_is_told(here, elsewhere) -> None:
    arguments = ("--registry", elsewhere / "registry", "--broker", "mqtt://localhost", "--federation", "kitchens")
    assert here("enrol", "d0", *arguments)[0] == 0
    err = faults(here, elsewhere, '[federation]\nname = "cellars"\n[security]\nregistry = "registry"')
    assert err.startswith("federation.name: is 'cellars', and the devices of the registry ")
    assert "were enrolled with 'kitchens'" in err


def test_a_file_for_simulations_is_run_with_a_remark(here, tmp_path) -> None:
    file = configuration(tmp_path / "run.toml", f"mqtt://127.0.0.1:{free_port()}", more="[fleet]\ndevices = 12\n")
    text = file.read_text().replace('broker = "mqtt', 'broker = "mqtts').replace("[enrolment]\nmin_devices = 6\n", "")
    file.write_text(text.replace("mqtts://127.0.0.1", "mqtts://no-such-host.invalid") + "[security]\ninsecure = true\n")
    code, _, err = here("coordinator", file)
    assert code == 1
    assert "[fleet] is for simulations: here the devices are those that come" in err
    assert "error: there is no host named" in err or "cannot be reached" in err


# -- status and broker


def test_status_of_nothing(here, tmp_path) -> None:
    (tmp_path / "mine.db").touch()
    code, out, err = here("status", tmp_path / "mien.db")
    assert (code, out, err) == (2, "", f"error: {tmp_path}/mien.db: there is no such file (did you mean 'mine.db'?)\n")
    (tmp_path / "run.toml").write_text("")
    code, _, err = here("status", tmp_path / "run.toml")
    assert code == 2
    assert "store.path: is not set: such a federation is in the memory of its coordinator alone" in err


def test_without_amqtt_the_way_to_it_is_told(here, monkeypatch) -> None:
    monkeypatch.setattr(broker, "find_spec", lambda name: None if name == "amqtt" else find_spec(name))
    for command in (("broker",), ("demo", "--mqtt")):
        code, out, err = here(*command)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "amqtt, which is not installed: pip install 'tierwise[broker]'" in err


def test_the_demonstration_over_a_broker_has_no_seeds(here) -> None:
    code, _, err = here("demo", "--mqtt", "--seeds", "2")
    assert code == 2
    assert "--seeds is for simulated fleets" in err


def test_a_port_that_is_taken_is_told(here) -> None:
    if find_spec("amqtt") is None:
        pytest.skip("amqtt is not installed: `pip install 'tierwise[broker]'` brings it")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = here("broker", "--port", port)
    assert (code, out) == (1, "")
    assert f"error: the embedded broker cannot listen on 127.0.0.1:{port}: " in err
    assert "address already in use" in err.lower()
