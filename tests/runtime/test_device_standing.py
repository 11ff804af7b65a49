"""Where each device stands: here, away, shut out, and why."""

from tests.core.drive import learning
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.ids import DeviceId
from tierwise.runtime.device_standing import DeviceStanding, Whereabouts, device_standings, with_registered


def standings(drive) -> dict[str, DeviceStanding]:
    return {one.device: one for one in device_standings(drive.records, drive.machine.state)}


def test_every_device_that_ever_joined_is_listed() -> None:
    drive = learning("abcd", "efgh")
    drive.run_round("g1")
    drive.enrol("z")
    drive.lose("a")
    drive.enrol("a")
    drive.give(i.LoseDevice(device=DeviceId("a"), reason="its connection broke"))
    drive.remove("h")
    for _ in range(3):
        fault = i.ReportFault(device=DeviceId("b"), cohort=None, refusal=e.Refusal.MALFORMED, reason="no frame")
        drive.give(fault)
    found = standings(drive)
    assert sorted(found) == list("abcdefghz")
    told = {name: (one.group, one.stands, one.last_accepted) for name, one in found.items()}
    assert told["a"] == ("g1", Whereabouts.AWAY, "g1.r1")
    assert told["b"] == ("g1", Whereabouts.QUARANTINED, "g1.r1")
    assert told["c"] == ("g1", Whereabouts.HERE, "g1.r1")
    assert told["e"] == ("g2", Whereabouts.HERE, None)
    assert told["h"] == (None, Whereabouts.REMOVED, None)
    assert told["z"] == (None, Whereabouts.HERE, None)
    assert (found["a"].reason, found["c"].reason, found["h"].reason) == ("its connection broke", "", "sold")
    assert "no frame" in found["b"].reason


def test_who_fits_nowhere_is_told_why() -> None:
    drive = learning("abc")
    drive.join("y")
    order = next(one for one in drive.machine.outstanding() if one.key.startswith("place/"))
    drive.give(i.PlacementsProposed(order=order.key, placed={}, unplaced={DeviceId("y"): "too weak"}))
    assert (standings(drive)["y"].stands, standings(drive)["y"].reason) == (Whereabouts.UNPLACED, "too weak")


def test_a_registry_tells_who_was_revoked_and_who_never_came() -> None:
    drive = learning("abc")
    found = with_registered(standings(drive).values(), {"a": True, "b": False, "never": False, "gone": True})
    assert [(one.device, one.stands) for one in found] == [
        ("a", Whereabouts.REVOKED),
        ("b", Whereabouts.HERE),
        ("c", Whereabouts.HERE),
        ("gone", Whereabouts.REVOKED),
        ("never", Whereabouts.NOT_SEEN),
    ]
    assert found[0].group == "g1"
