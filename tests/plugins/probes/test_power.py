"""The probe of mains and battery, over trees of files like the kernel's."""

from pathlib import Path
from types import SimpleNamespace

import anyio
import psutil
import pytest

from tests.plugins.probes.trees import tree
from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes.power import PowerProbe
from tierwise.plugins.testing import check_probe

SUPPLIES = "class/power_supply"


def supply(name: str, **files: str) -> dict[str, str]:
    return {f"{SUPPLIES}/{name}/{file}": text for file, text in files.items()}


def measured(root: Path, *supplies: dict[str, str]) -> tuple[float | str, float | str]:
    """Return mains and battery, each as a number or the reason why there is none."""
    (root / SUPPLIES).mkdir(parents=True)
    for files in supplies:
        tree(root, files)
    found = anyio.run(PowerProbe(root).measure)
    assert found.keys() == {"mains_bool", "battery_ratio"}
    plain = [one.reason if isinstance(one, Unmeasured) else one for one in found.values()]
    return plain[0], plain[1]


LAPTOP = {"type": "Battery", "present": "1", "scope": "System"}


def test_conformance(tmp_path: Path) -> None:
    check_probe(PowerProbe())
    check_probe(PowerProbe(tree(tmp_path, supply("BAT0", **LAPTOP, status="Full", capacity="100"))))


@pytest.mark.parametrize(
    ("online", "status", "mains"),
    [
        ("1", "Charging", 1.0),
        ("1", "Discharging", 1.0),  # a charger that is too weak is one nevertheless
        ("1", "Unknown", 1.0),
        ("0", "Discharging", 0.0),
        ("0", "Unknown", 0.0),
        ("0", "Charging", 1.0),  # over a plug that the kernel does not know
        ("0", "Full", 1.0),
        ("2", "Not charging", 1.0),
    ],
)
def test_a_laptop_on_the_mains_and_on_its_battery(tmp_path: Path, online: str, status: str, mains: float) -> None:
    plugs = supply("AC", type="Mains", online=online)
    batteries = supply("BAT0", **LAPTOP, status=status, capacity="63")
    assert measured(tmp_path, plugs, batteries) == (mains, 0.63)


def test_a_telephone_is_charged_over_usb(tmp_path: Path) -> None:
    assert measured(
        tmp_path,
        supply("usb", type="USB_PD", online="1"),
        supply("wireless", type="Wireless", online="0"),
        supply("battery", type="Battery", status="Charging", capacity="20"),
    ) == (1.0, 0.2)


def test_the_battery_of_a_mouse_and_an_empty_bay_are_nobodys(tmp_path: Path) -> None:
    mouse = supply("hidpp_battery_0", type="Battery", scope="Device", status="Discharging", capacity="50")
    bay = supply("BAT1", type="Battery", present="0", status="Unknown")
    mains, battery = measured(tmp_path, mouse, bay)
    assert mains == "the system tells of no power supply: if it is on the mains, declare mains_bool=1"
    assert battery == "there is no battery"


def test_a_server_has_mains_and_no_battery(tmp_path: Path) -> None:
    assert measured(tmp_path, supply("AC", type="Mains", online="1")) == (1.0, "there is no battery")


def test_a_board_whose_only_known_plug_is_empty_is_fed_by_another(tmp_path: Path) -> None:
    mains, _ = measured(tmp_path, supply("usb", type="USB", online="0"))
    assert isinstance(mains, str)


def test_several_batteries_have_their_mean_and_those_without_capacity_tell_it_by_energy(tmp_path: Path) -> None:
    assert measured(
        tmp_path,
        supply("BAT0", **LAPTOP, status="Discharging", energy_now="3000000", energy_full="4000000"),
        supply("BAT1", **LAPTOP, status="Discharging", charge_now="100", charge_full="400"),
        supply("BAT2", **LAPTOP, status="Discharging"),
    ) == (0.0, 0.5)


def test_a_battery_that_tells_nothing(tmp_path: Path) -> None:
    assert measured(tmp_path, supply("BAT0", **LAPTOP, capacity="n/a", energy_now="1", energy_full="0")) == (
        "its batteries do not tell whether they are charged",
        "the battery does not tell how full it is",
    )


def test_a_capacity_above_all_is_all(tmp_path: Path) -> None:
    assert measured(tmp_path, supply("BAT0", **LAPTOP, status="Full", capacity="104")) == (1.0, 1.0)


# -- where there is no such tree


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (SimpleNamespace(percent=42, power_plugged=True), (1.0, 0.42)),
        (SimpleNamespace(percent=42, power_plugged=False), (0.0, 0.42)),
    ],
)
def test_psutil_is_asked_elsewhere(monkeypatch, tmp_path: Path, told, expected) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: told, raising=False)
    assert tuple(anyio.run(PowerProbe(tmp_path).measure).values()) == expected


@pytest.mark.parametrize(
    "told", [None, SimpleNamespace(percent=None, power_plugged=None), OSError, NotImplementedError]
)
def test_what_psutil_does_not_tell_has_its_reason(monkeypatch, tmp_path: Path, told) -> None:
    def ask():
        if isinstance(told, type):
            raise told
        return told

    monkeypatch.setattr(psutil, "sensors_battery", ask, raising=False)
    assert all(isinstance(one, Unmeasured) for one in anyio.run(PowerProbe(tmp_path).measure).values())


def test_a_psutil_without_the_function_is_no_fault(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert anyio.run(PowerProbe(tmp_path).measure)["battery_ratio"] == Unmeasured("there is no battery")
