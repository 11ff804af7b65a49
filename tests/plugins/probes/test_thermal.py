"""The probe of temperature and throttling, over trees of files like the kernel's."""

from pathlib import Path

import anyio
import pytest

from tests.plugins.probes.trees import tree
from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes import thermal
from tierwise.plugins.probes.thermal import ThermalProbe
from tierwise.plugins.testing import check_probe

LAPTOP = {
    "class/hwmon/hwmon0/name": "nvme",
    "class/hwmon/hwmon0/temp1_input": "78850",
    "class/hwmon/hwmon1/name": "coretemp",
    "class/hwmon/hwmon1/temp1_input": "61000",
    "class/hwmon/hwmon1/temp2_input": "64000",
    "class/hwmon/hwmon1/temp3_input": "garbage",
    "class/thermal/thermal_zone0/type": "acpitz",
    "class/thermal/thermal_zone0/temp": "71000",
    "class/thermal/cooling_device0/type": "Processor",
    "class/thermal/cooling_device0/cur_state": "0",
    "class/thermal/cooling_device1/type": "Fan",
    "class/thermal/cooling_device1/cur_state": "3",
}
BOARD = {
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "48312",
    "class/thermal/cooling_device0/type": "cpufreq-cpu0",
    "class/thermal/cooling_device0/cur_state": "0",
}
PI = "devices/platform/soc/soc:firmware/get_throttled"


def measured(root: Path, files: dict[str, str]) -> tuple[float | str, float | str]:
    found = anyio.run(ThermalProbe(tree(root, files)).measure)
    assert list(found) == ["temperature_k", "throttled_bool"]
    plain = [one.reason if isinstance(one, Unmeasured) else one for one in found.values()]
    return plain[0], plain[1]


def test_conformance(tmp_path: Path) -> None:
    check_probe(ThermalProbe())
    check_probe(ThermalProbe(tree(tmp_path, LAPTOP)))


def test_the_hottest_sensor_of_the_processor_counts_and_no_disk(tmp_path: Path) -> None:
    assert measured(tmp_path, LAPTOP) == (pytest.approx(273.15 + 64, abs=0.06), 0.0)


def test_a_small_board(tmp_path: Path) -> None:
    assert measured(tmp_path, BOARD) == (321.5, 0.0)


def test_a_processor_without_sensors_is_as_hot_as_its_board(tmp_path: Path) -> None:
    files = {name: text for name, text in LAPTOP.items() if "hwmon1" not in name}
    assert measured(tmp_path, files)[0] == pytest.approx(273.15 + 71, abs=0.06)


@pytest.mark.parametrize("nonsense", ["0", "-128000", "255000", "", "nan"])
def test_a_sensor_that_is_not_connected_does_not_count(tmp_path: Path, nonsense: str) -> None:
    assert measured(tmp_path, {**BOARD, "class/thermal/thermal_zone0/temp": nonsense})[0] == (
        "no sensor of processor or board"
    )


def test_a_container_without_any_of_it(tmp_path: Path) -> None:
    assert measured(tmp_path, {}) == ("no sensor of processor or board", "the system does not tell it")


def test_other_sensors_are_named(tmp_path: Path) -> None:
    files = {name: text for name, text in LAPTOP.items() if "hwmon0" in name}
    assert measured(tmp_path, files)[0] == "no sensor of processor or board, only of nvme"


# -- throttling


def test_a_cooling_device_that_holds_the_processor_back(tmp_path: Path) -> None:
    assert measured(tmp_path, {**BOARD, "class/thermal/cooling_device0/cur_state": "2"})[1] == 1.0


@pytest.mark.parametrize(
    ("flags", "throttled"),
    [
        ("0", 0.0),
        ("50000", 0.0),  # it was, since it was started
        ("0x1", 0.0),  # the voltage is low
        ("4", 1.0),
        ("e0008", 1.0),
        ("?", "the system does not tell it"),
    ],
)
def test_a_raspberry_pi_tells_what_it_does_now(tmp_path: Path, flags: str, throttled: float | str) -> None:
    assert measured(tmp_path, {PI: flags})[1] == throttled


def test_a_processor_that_throttles_itself_is_seen_by_its_counter(tmp_path: Path, monkeypatch) -> None:
    counter = "devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"
    assert measured(tmp_path, {counter: "17"})[1] == 0.0

    async def hot(_seconds: float) -> None:
        tree(tmp_path, {counter: "18"})

    monkeypatch.setattr(thermal.anyio, "sleep", hot)
    assert measured(tmp_path, {})[1] == 1.0
