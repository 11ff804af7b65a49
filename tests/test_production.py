"""The page on production is true: its commands, files and units make a federation behind TLS and an access list."""

import json
import re
import socket
import ssl
import subprocess

import pytest

from tests.production import PAGE, Machine, missing
from tests.runtime.broker import needs_mosquitto
from tests.runtime.programs.processes import PATIENCE_S, Running, tierwise
from tierwise.core.framing import unframe
from tierwise.runtime.standing import GroupStanding, Standing

DEVICES = ("kitchen", "cellar", "attic")
COORDINATOR = "tierwise-coordinator@digits"

pytestmark = [
    needs_mosquitto,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: `apt-get install` brings them"),
]


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    try:
        made.run("A CA of your own")
        made.write("The broker")
        made.write("The coordinator")
        made.write("The agents")
        yield made
    finally:
        made.close()


def change(machine: Machine, path: str, *changes: tuple[str, str]) -> None:
    file = machine.path(path)
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, machine.here(after))
    file.write_text(text)


def start_again(machine: Machine, device: str) -> Running:
    """Start a device's agent with the files that are there now; it has ended, since its old key was revoked."""
    assert machine.services.pop(f"tierwise-agent@{device}").wait() == 1
    return machine.start(f"tierwise-agent@{device}")


def closed(running: Running) -> int:
    return sum(line.get("event") == "round-closed" for line in running.lines())


def finished(running: Running) -> bool:
    return any(line.get("event") == "federation-finished" for line in running.lines())


def compare_models(machine: Machine) -> None:
    """Make sure that all devices have the coordinator's model."""
    folder = machine.path("var/lib/tierwise")
    models = set()
    for device in DEVICES:
        current = json.loads((folder / f"{device}.models/current.json").read_text())["current"]
        model = (folder / f"{device}.models" / current["file"]).read_bytes()
        assert unframe(model).identity == current["sha256"]
        models.add(model)
    (ours,) = [path.read_bytes() for path in (folder / "digits.result").glob("*.safetensors")]
    assert models == {ours}


def test_with_passwords_a_backup_and_a_new_key(machine) -> None:
    # Longer, so that it has a middle; and smaller, so that it is not long.
    change(machine, "var/lib/tierwise/digits.toml", ("rounds = 10", "rounds = 60"))
    machine.run("Devices")
    machine.start(COORDINATOR)
    agents = {device: machine.start(f"tierwise-agent@{device}") for device in DEVICES}
    machine.services[COORDINATOR].until(lambda one: closed(one) >= 3)
    machine.run("What to watch")

    machine.run("Backups", 0)
    machine.services[COORDINATOR].until(lambda one: closed(one) >= 3)
    machine.run("Backups", 1)
    machine.services[COORDINATOR].until(lambda one: closed(one) >= 3)

    machine.run("Keys")
    agents["kitchen"] = start_again(machine, "kitchen")
    machine.services[COORDINATOR].until(finished)
    assert [agent.wait() for agent in agents.values()] == [0] * 3, agents["kitchen"].err.read_text()
    assert machine.stop(COORDINATOR) == 0  # it lingered
    compare_models(machine)
    machine.run("What to watch")

    wrong = machine.path("var/lib/tierwise/wrong")
    wrong.write_text("guessed\n")
    code, _, err = tierwise(
        "agent", "--bundle", "attic.bundle.json", "--password-file", wrong, "--data", "digits", cwd=wrong.parent
    )
    assert (code, "refuses user 'attic'" in err) == (1, True), err


def test_with_certificates(machine) -> None:
    machine.run("Devices", 0)
    machine.run("Certificates instead of passwords")
    broker, coordinator = (text for kind, text in machine.sections["Certificates instead of passwords"] if kind != "sh")
    passwords = machine.here("password_file /etc/mosquitto/passwords\n")
    change(machine, "etc/mosquitto/mosquitto.conf", (passwords, broker))
    change(
        machine,
        "var/lib/tierwise/digits.toml",
        ('username = "coordinator"\npassword_file = "coordinator.password"\n', coordinator),
        ("rounds = 10", "rounds = 2"),
    )
    machine.broker.start()
    machine.start(COORDINATOR)
    instead = "--cert {there}/%i.pem --key {there}/%i.key".format(there=machine.path("root"))
    assert "`--cert kitchen.pem --key kitchen.key` in place of `--password-file`" in PAGE.read_text()
    agents = [machine.start(f"tierwise-agent@{device}", ("--password-file %i.password", instead)) for device in DEVICES]
    assert [agent.wait() for agent in agents] == [0] * 3, agents[0].err.read_text()
    machine.services[COORDINATOR].until(finished)
    assert machine.stop(COORDINATOR) == 0
    compare_models(machine)
    context = ssl.create_default_context(cafile=machine.path("root/ca.pem"))
    with (
        socket.create_connection((machine.broker.host, machine.broker.port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as nameless,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        nameless.recv(1)


def test_the_units_are_units(machine) -> None:
    try:
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("systemd-analyze is not installed: `apt-get install systemd` brings it")
    units = [machine.path(f"etc/systemd/system/{name}@.service") for name in ("tierwise-coordinator", "tierwise-agent")]
    instances = []
    for unit in units:
        instances.append(unit.with_name(unit.name.replace("@", "@digits")))
        instances[-1].write_text(unit.read_text().replace("User=tierwise", "User=root"))  # there is no such user here
    verified = subprocess.run(["systemd-analyze", "verify", *instances], capture_output=True, text=True, check=False)
    told = [line for line in verified.stderr.splitlines() if "tierwise-" in line]
    assert (verified.returncode, told) == (0, []), verified.stderr


def test_the_fields_to_watch_are_fields() -> None:
    table = PAGE.read_text().partition("| field | look when |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named
    assert named <= {*Standing.__struct_fields__, *GroupStanding.__struct_fields__}
