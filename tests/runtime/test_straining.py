"""Where a group's tier asks too much of its devices, somebody is told."""

from tests.runtime.helpers import settings
from tierwise.core import events as e
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.ids import BlobHash, DeviceId, GroupId, TierName
from tierwise.core.tiers import Cost, RoundLimits, Tier
from tierwise.core.weights import Layout
from tierwise.runtime.straining import StrainWatch, strain_sentence, strained

COST = Cost(parameters=16, fit_flops_per_sample=96, evaluate_flops_per_sample=32, bytes=1000, memory_bytes=4096)
TIER = Tier(name=TierName("small"), learner="mlp", options={}, layout=Layout.of({"w": (16,)}), cost=COST)
GROUP = GroupId("g1")


def fleet_of(**memory: float) -> dict[DeviceId, HardwareProfile]:
    return {DeviceId(name): HardwareProfile.declared(memory_bytes=value) for name, value in memory.items()}


def told(watch: StrainWatch, *events: e.Event) -> list[str]:
    return [warning for event in events if (warning := watch.watch(event)) is not None]


def formed(fleet: dict[DeviceId, HardwareProfile]) -> list[e.Event]:
    """Return what happens until these devices are one group with a tier."""
    group = e.GroupFormed(group=GROUP, devices=tuple(fleet), envelope=HardwareEnvelope.of(fleet.values()))
    return [
        e.FederationOpened(settings=settings(3), plugins=()),
        *(e.HardwareReported(device=device, profile=profile) for device, profile in fleet.items()),
        e.GroupsFormed(groups=(group,), unplaced={}),
        e.TierAssigned(group=GROUP, tier=TIER, model=BlobHash("0" * 64)),
    ]


def test_nobody_is_told_where_all_carry_the_tier() -> None:
    assert told(StrainWatch(), *formed(fleet_of(a=4096, b=5000, c=6000))) == []


def test_the_devices_that_do_not_carry_it_are_named_with_by_how_much() -> None:
    (warning,) = told(StrainWatch(), *formed(fleet_of(a=4096, b=1024, c=6000)))
    assert warning == (
        "g1: tier small asks too much of 1 of its 3 devices (b: training takes 4,096 bytes of memory, the device has "
        "1,024: 4 times as much). To mend it, offer a smaller tier"
    )


def test_who_comes_late_into_a_group_whose_tier_is_too_much_is_told_of() -> None:
    watch = StrainWatch()
    assert told(watch, *formed(fleet_of(a=4096, b=5000, c=6000))) == []
    late = fleet_of(x=2048)[DeviceId("x")]
    placed = e.DevicePlaced(device=DeviceId("x"), group=GROUP)
    (warning,) = told(watch, e.HardwareReported(device=DeviceId("x"), profile=late), placed)
    assert warning.startswith("g1: tier small asks too much of one that came late (x: training takes 4,096 bytes")


def test_of_many_devices_the_rest_is_counted() -> None:
    fleet = fleet_of(**{f"d{number}": 1024.0 for number in range(7)})
    limits = RoundLimits(deadline_s=600, samples=24, traffic_bytes=10)
    sentence = strain_sentence(GROUP, TIER, strained(TIER, fleet, limits), "7 of its 9 devices")
    assert "asks too much of 7 of its 9 devices (d0: training takes" in sentence
    assert sentence.endswith("; and 5 more). To mend it, offer a smaller tier or raise rounds.traffic_bytes")
