"""Who takes part only when its hardware is free for it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.selection import Postponed
from tierwise.plugins.selection.conditions import ConditionsOptions, ConditionsSelector
from tierwise.plugins.testing import check_selector

SEEDS = st.integers(min_value=0, max_value=2**63)
yes_or_no, ratio = st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.5, 1.0])
profiles = st.fixed_dictionaries(
    {}, optional={"mains_bool": yes_or_no, "metered_bool": yes_or_no, "battery_ratio": ratio, "idle_ratio": ratio}
).map(lambda values: HardwareProfile.declared(**values))
fleets = st.lists(profiles, min_size=3, max_size=12).map(
    lambda found: {DeviceId(f"d{number:02}"): profile for number, profile in enumerate(found)}
)
options = st.builds(
    ConditionsOptions,
    mains=st.booleans(),
    battery_min=st.none() | st.sampled_from([0.0, 0.4, 0.5, 1.0]),
    idle_min=st.none() | st.sampled_from([0.3, 0.9]),
    unmetered=st.booleans(),
    unknown_fulfils=st.booleans(),
)


def fleet(*values: dict[str, float]) -> dict[DeviceId, HardwareProfile]:
    return {DeviceId(f"d{number}"): HardwareProfile.declared(**one) for number, one in enumerate(values)}


def select(candidates: dict[DeviceId, HardwareProfile], **chosen: object) -> list[str] | str:
    answer = ConditionsSelector(msgspec.convert(chosen, ConditionsOptions)).select(candidates, seed=1)
    return answer.reason if isinstance(answer, Postponed) else list(answer)


@pytest.mark.parametrize(
    "chosen",
    [
        ConditionsOptions(),
        ConditionsOptions(mains=True, battery_min=0.5, count=3),
        ConditionsOptions(mains=True, unknown_fulfils=False),
    ],
)
def test_conformance(chosen: ConditionsOptions) -> None:
    check_selector(ConditionsSelector(chosen))


@given(fleets, options, SEEDS)
def test_all_who_fulfil_the_conditions_and_nobody_else(
    candidates: dict[DeviceId, HardwareProfile], chosen: ConditionsOptions, seed: int
) -> None:
    def fulfils(profile: HardwareProfile) -> bool:
        def right(name: str, holds: bool) -> bool:
            return holds if name in profile.quantities else chosen.unknown_fulfils

        value = {name: one.value for name, one in profile.quantities.items()}.get
        return (
            (not chosen.mains or right("mains_bool", value("mains_bool") == 1))
            and (
                chosen.battery_min is None
                or right("battery_ratio", (value("battery_ratio") or 0) >= chosen.battery_min)
            )
            and (chosen.idle_min is None or right("idle_ratio", (value("idle_ratio") or 0) >= chosen.idle_min))
            and (not chosen.unmetered or right("metered_bool", value("metered_bool") == 0))
        )

    willing = sorted(device for device, profile in candidates.items() if fulfils(profile))
    answer = ConditionsSelector(chosen).select(candidates, seed=seed)
    if len(willing) >= 3:
        assert answer == willing
    else:
        assert isinstance(answer, Postponed)
        assert answer.reason.startswith(f"{len(willing)} of {len(candidates)} devices fulfil the conditions")


@given(SEEDS)
def test_a_share_or_a_count_is_drawn_of_them(seed: int) -> None:
    candidates = fleet(*[{"mains_bool": float(number % 2)} for number in range(20)])
    on_mains = {device for device, profile in candidates.items() if profile.value("mains_bool")}
    for chosen, number in (
        (ConditionsOptions(mains=True, fraction=0.5), 5),
        (ConditionsOptions(mains=True, count=4), 4),
    ):
        drawn = ConditionsSelector(chosen).select(candidates, seed=seed)
        assert not isinstance(drawn, Postponed)
        assert len(set(drawn)) == len(drawn) == number
        assert set(drawn) <= on_mains


@pytest.mark.parametrize(
    ("condition", "right", "wrong"),
    [
        ({"mains": True}, {"mains_bool": 1}, {"mains_bool": 0}),
        ({"battery_min": 0.5}, {"battery_ratio": 0.5}, {"battery_ratio": 0.49}),
        ({"idle_min": 0.8}, {"idle_ratio": 0.8}, {"idle_ratio": 0.79}),
        ({"unmetered": True}, {"metered_bool": 0}, {"metered_bool": 1}),
        ({"max_temperature_k": 350}, {"temperature_k": 350.0}, {"temperature_k": 350.1}),
    ],
)
def test_each_condition(condition: dict[str, object], right: dict[str, float], wrong: dict[str, float]) -> None:
    assert select(fleet(right, wrong, right, {}, {}), **condition) == ["d0", "d2", "d3", "d4"]
    assert select(fleet(right, wrong, right, {}, right), **condition, unknown_fulfils=False) == ["d0", "d2", "d4"]


def test_the_round_waits_and_says_what_devices_lack() -> None:
    candidates = fleet(
        {"mains_bool": 0, "idle_ratio": 0.1}, {"mains_bool": 0, "idle_ratio": 0.9}, {"idle_ratio": 0.9}, {}
    )
    assert select(candidates, mains=True, idle_min=0.5) == (
        "2 of 4 devices fulfil the conditions, at least 3 are needed: 2 are not on the mains, 1 is not idle by 50%"
    )


def test_fraction_and_count_exclude_each_other() -> None:
    with pytest.raises(msgspec.ValidationError, match="exclude each other"):
        msgspec.convert({"fraction": 0.5, "count": 4}, ConditionsOptions)


@pytest.mark.parametrize("values", [{"battery_min": 50}, {"idle_min": -0.1}, {"max_temperature_k": 0}, {"count": 2}])
def test_options_out_of_bounds_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, ConditionsOptions)
