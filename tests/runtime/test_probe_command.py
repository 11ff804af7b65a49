"""`tierwise probe`: a table for people, a row for a fleet."""

import csv
import io
import json

import pytest

from tests.runtime.programs.processes import install_pack, tierwise
from tierwise.core.hardware import QUANTITIES, Origin
from tierwise.runtime.cli import probe as command
from tierwise.runtime.cli.probe import fleet_row
from tierwise.runtime.fleet.draw import is_quantity, read_fleet
from tierwise.runtime.probing import Reading

PROBES = """
from tierwise.core.hardware import Unmeasured
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

@hookimpl
def tierwise_probes():
    for name in ("Willing", "Unable"):
        yield PluginDescriptor(kind=Kind.PROBE, name=name.lower(), target=f"clouds_pack:{name}", summary=".")

class Willing:
    async def measure(self):
        return {"mains_bool": 1.0, "battery_ratio": 0.87, "temperature_k": 318.15, "rain_m": 0.5,
                "x_bytes": Unmeasured("it is too dark"), "y_bytes": Unmeasured("it is too dark")}

class Unable:
    async def measure(self):
        raise OSError("no such sensor")
"""


@pytest.fixture
def pack(tmp_path):
    """Install a pack with probes that are sure of what they measure, and one that is not."""
    folder = tmp_path / "site"
    folder.mkdir()
    (install_pack(folder) / "clouds_pack.py").write_text(PROBES)
    return {"PYTHONPATH": str(folder)}


def test_what_is_measured_is_readable_and_what_is_not_has_its_reason_below(pack):
    code, out, err = tierwise("probe", **pack)
    assert (code, err) == (0, "")
    table, _, below = out.partition("\n\n")
    rows = {line.split()[0]: line for line in table.splitlines()[2:]}
    assert rows["battery_ratio"].split()[1:] == ["87", "%", "0.87", "measured"]
    assert rows["mains_bool"].split()[1:] == ["yes", "1", "measured"]
    assert rows["temperature_k"].split()[1:] == ["45", "°C", "318.15", "measured"]
    assert rows["uplink_bytes_per_s"].split()[1:] == ["1", "MB/s", "1e+06", "default"]
    assert "not measured: x_bytes, y_bytes: it is too dark\n" in below
    assert "probe 'unable' measured nothing: OSError: no such sensor\n" in below


def test_json_has_the_reasons_as_well(pack):
    code, out, err = tierwise("probe", "--json", **pack)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["quantities"]["rain_m"] == {"value": 0.5, "origin": "measured"}
    assert document["unmeasured"]["x_bytes"] == "it is too dark"
    assert document["failed"] == {"unable": "OSError: no such sensor"}


def test_three_machines_rows_put_together_are_a_fleet(tmp_path, pack):
    path = tmp_path / "fleet.csv"
    for number, (name, environment) in enumerate([("kitchen", pack), ("cellar", pack), ("attic", pack)]):
        code, out, err = tierwise("probe", "--csv", "--id", name, **environment)
        assert (code, err) == (0, "")
        with path.open("a") as file:
            file.writelines(out.splitlines(keepends=True)[0 if number == 0 else 1 :])
    fleet = read_fleet(path)
    assert list(fleet) == ["kitchen", "cellar", "attic"]
    for profile in fleet.values():
        assert profile.value("rain_m") == 0.5
        assert profile.value("battery_ratio") == 0.87
        assert profile.value("cpu_flops") > 1e6
        assert "x_bytes" not in profile.quantities
        assert {one.origin for one in profile.quantities.values()} == {Origin.DECLARED}


def test_machines_of_one_kind_have_one_header_whatever_they_can_measure():
    poor = Reading({"cpu_count": 4.0}, {"rain_m": "it is too dark"}, {})
    rich = Reading({"cpu_count": 0.1, "rain_m": 1 / 3, "power_w": 5.0}, {}, {})
    tables = [list(csv.reader(io.StringIO(fleet_row("a", reading)))) for reading in (poor, rich)]
    assert tables[0][0] == tables[1][0] == ["device", *QUANTITIES, "rain_m"]
    rows = [dict(zip(*table, strict=True)) for table in tables]
    assert (rows[0]["cpu_count"], rows[0]["rain_m"], rows[0]["power_w"]) == ("4", "", "")
    assert (rows[1]["cpu_count"], rows[1]["rain_m"], rows[1]["power_w"]) == ("0.1", "0.333333333333", "5")


def test_a_quantity_that_no_fleet_can_have_is_left_out():
    assert "rain_mm" not in fleet_row("a", Reading({"rain_mm": 3.0}, {}, {}))


def test_all_known_quantities_can_be_in_a_fleet():
    assert all(map(is_quantity, QUANTITIES))


def test_the_host_names_the_device(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "kitchen.local")
    assert command._device(None) == "kitchen.local"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--csv", "--id", "a b"], "error: --id: 'a b' cannot name a device: 1 to 64 of"),
        (["--id", "a"], "error: --id is for --csv"),
        (["--csv", "--json"], "error: --json and --csv exclude each other"),
    ],
)
def test_wrong_arguments(arguments, message):
    code, out, err = tierwise("probe", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
