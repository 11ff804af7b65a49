"""What a round of a model costs a device, and whether the device carries it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.hardware import DEFAULTS, HardwareEnvelope, HardwareProfile
from tierwise.core.settings import RoundSettings
from tierwise.core.tiers import Cost, Excess, Limit, Prediction, RoundLimits, fits

COST = Cost(
    parameters=1000,
    fit_flops_per_sample=6000.0,
    evaluate_flops_per_sample=2000.0,
    bytes=4000,
    memory_bytes=50_000,
)
DEVICE = HardwareProfile.declared(
    cpu_flops=1e6, memory_bytes=1e5, downlink_bytes_per_s=4000, uplink_bytes_per_s=2000, power_w=5
)

amounts = st.floats(min_value=1e-3, max_value=1e12)
costs = st.builds(
    Cost,
    parameters=st.integers(1, 10**6),
    fit_flops_per_sample=amounts,
    evaluate_flops_per_sample=amounts,
    bytes=st.integers(1, 10**9),
    memory_bytes=st.integers(1, 10**9),
)
profiles = st.builds(
    lambda power, **values: HardwareProfile.declared(**values, **({} if power is None else {"power_w": power})),
    power=st.none() | amounts,
    **dict.fromkeys(DEFAULTS, amounts),
)
limits = st.builds(
    RoundLimits,
    deadline_s=amounts,
    samples=st.integers(1, 1000),
    traffic_bytes=st.none() | st.integers(1, 10**9),
    energy_j=st.none() | amounts,
)


def test_a_prediction_adds_up_what_a_round_consists_of() -> None:
    predicted = COST.predict(DEVICE, fit_samples=100, evaluate_samples=50)
    assert predicted == Prediction(
        download_s=1.0,  # 4000 bytes at 4000 bytes/s
        compute_s=0.7,  # 100 x 6000 + 50 x 2000 at 1e6 FLOP/s
        upload_s=2.0,
        memory_bytes=50_000,
        traffic_bytes=8000,
        energy_j=3.5,  # 5 W for as long as it computes
    )
    assert predicted.round_s == pytest.approx(3.7)


def test_limits_assume_as_many_samples_to_evaluate_as_to_fit() -> None:
    predicted = RoundLimits(deadline_s=1, samples=30).predict(COST, DEVICE)
    assert predicted == COST.predict(DEVICE, fit_samples=30, evaluate_samples=30)


def test_a_device_with_a_link_of_0_never_ends_its_round() -> None:
    cut = DEVICE.merged(HardwareProfile.declared(uplink_bytes_per_s=0, cpu_flops=0))
    predicted = COST.predict(cut, fit_samples=1, evaluate_samples=1)
    assert (predicted.download_s, predicted.compute_s, predicted.upload_s) == (1.0, math.inf, math.inf)
    (excess,) = RoundLimits(deadline_s=1e9, samples=1).excesses(COST, cut)
    assert str(excess) == "a round never ends, since the device has a processor or a link of 0"


@pytest.mark.parametrize(
    ("changed", "excess", "told"),
    [
        ({"deadline_s": 3.5}, (Limit.DEADLINE, 3.8, 3.5), "a round takes 3.8 s, 3.5 s are allowed: 8.57 % too much"),
        (
            {"traffic_bytes": 7999},
            (Limit.TRAFFIC, 8000, 7999),
            "a round moves 8,000 bytes, 7,999 are allowed: 0.0125 % too much",
        ),
        ({"energy_j": 2}, (Limit.ENERGY, 4.0, 2), "a round takes 4 J, 2 J are allowed: 2 times as much"),
    ],
)
def test_each_limit_is_told_with_by_how_much(changed, excess, told) -> None:
    generous = {"deadline_s": 3.8, "samples": 100, "traffic_bytes": 8000, "energy_j": 4.0}
    assert RoundLimits(**generous).excesses(COST, DEVICE) == ()
    assert fits(COST, DEVICE, RoundLimits(**generous))
    (found,) = RoundLimits(**{**generous, **changed}).excesses(COST, DEVICE)
    assert found == Excess(limit=excess[0], needed=excess[1], allowed=excess[2])
    assert str(found) == told
    assert not fits(COST, DEVICE, RoundLimits(**{**generous, **changed}))


def test_memory_is_a_limit_too() -> None:
    small = DEVICE.merged(HardwareProfile.declared(memory_bytes=49_999))
    (found,) = RoundLimits(deadline_s=100, samples=1).excesses(COST, small)
    assert str(found) == "training takes 50,000 bytes of memory, the device has 49,999: 0.002 % too much"


def test_a_device_of_unknown_power_is_not_judged_by_energy() -> None:
    quantities = {name: one for name, one in DEVICE.quantities.items() if name != "power_w"}
    unknown = HardwareProfile(quantities=quantities)
    strict = RoundLimits(deadline_s=100, samples=100, energy_j=0.001)
    assert strict.predict(COST, unknown).energy_j is None
    assert fits(COST, unknown, strict)
    assert not fits(COST, DEVICE, strict)


def test_an_envelope_with_profiles_is_not_worse_than_its_devices() -> None:
    """One device computes slowly and the other has a slow link; no device has both."""
    slow = HardwareProfile.declared(cpu_flops=1e5, memory_bytes=1e5, uplink_bytes_per_s=1e6, downlink_bytes_per_s=1e6)
    far = HardwareProfile.declared(cpu_flops=1e9, memory_bytes=1e5, uplink_bytes_per_s=600, downlink_bytes_per_s=1e6)
    bounds = RoundLimits(deadline_s=10, samples=100)
    envelope = HardwareEnvelope.of([slow, far])
    assert fits(COST, slow, bounds)
    assert fits(COST, far, bounds)
    assert not fits(COST, envelope, bounds)
    assert fits(COST, envelope.detailed([slow, far]), bounds)


def test_of_ranges_alone_the_greatest_power_counts() -> None:
    frugal = DEVICE.merged(HardwareProfile.declared(power_w=1))
    envelope = HardwareEnvelope.of([frugal, DEVICE])
    bounds = RoundLimits(deadline_s=100, samples=100, energy_j=3.0)  # at 0.8 s, 5 W are too many
    assert not fits(COST, envelope, bounds)
    assert fits(COST, HardwareEnvelope.of([frugal, frugal]), bounds)


@given(costs, st.lists(profiles, min_size=1, max_size=5), limits)
@settings(deadline=None)
def test_an_envelope_with_profiles_fits_as_each_of_its_devices_does(cost, fleet, bounds) -> None:
    envelope = HardwareEnvelope.of(fleet).detailed(fleet)
    assert fits(cost, envelope, bounds) == all(fits(cost, profile, bounds) for profile in fleet)


@given(costs, st.lists(profiles, min_size=1, max_size=5), limits)
@settings(deadline=None)
def test_what_fits_ranges_fits_each_device_whose_power_all_know(cost, fleet, bounds) -> None:
    known = {"power_w" in profile.quantities for profile in fleet}
    if known == {True, False}:  # then ranges tell nothing of power
        bounds = RoundLimits(deadline_s=bounds.deadline_s, samples=bounds.samples, traffic_bytes=bounds.traffic_bytes)
    if fits(cost, HardwareEnvelope.of(fleet), bounds):
        assert all(fits(cost, profile, bounds) for profile in fleet)


@given(costs, profiles, limits, st.floats(min_value=1, max_value=1000))
@settings(deadline=None)
def test_more_of_everything_never_carries_less(cost, profile, bounds, factor) -> None:
    more = HardwareProfile.declared(
        **{name: one.value * (1 if name == "power_w" else factor) for name, one in profile.quantities.items()}
    )
    assert fits(cost, more, bounds) or not fits(cost, profile, bounds)


def test_a_rounds_settings_give_its_limits() -> None:
    rounds = RoundSettings(deadline_s=3, max_samples=20, traffic_bytes=9, energy_j=0.5)
    assert rounds.limits == RoundLimits(deadline_s=3, samples=20, traffic_bytes=9, energy_j=0.5)
    for name in ("traffic_bytes", "energy_j"):
        with pytest.raises(ValueError, match=f"{name} is 0, it must be more than 0"):
            RoundSettings(**{name: 0})
