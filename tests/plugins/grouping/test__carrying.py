"""What a round costs a fleet by columns is what it costs each device by itself, to the last bit."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.hardware import HardwareProfile, fleet_table
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import Cost, RoundLimits
from tierwise.plugins.grouping._carrying import Bearers

amounts = st.sampled_from([0.0, 1e3, 1e6, 1e9]) | st.floats(0, 1e12)
names = ("cpu_flops", "memory_bytes", "uplink_bytes_per_s", "downlink_bytes_per_s", "power_w", "clock_hz")
fleets = st.lists(st.dictionaries(st.sampled_from(names), amounts), min_size=1, max_size=8).map(
    lambda found: {DeviceId(f"d{n}"): HardwareProfile.declared(**one) for n, one in enumerate(found)}
)
costs = st.builds(
    Cost,
    parameters=st.just(1),
    fit_flops_per_sample=amounts,
    evaluate_flops_per_sample=amounts,
    bytes=st.integers(0, 10**9),
    memory_bytes=st.sampled_from([0, 10**6, 512 * 10**6]) | st.integers(0, 10**12),
)
bounds = st.builds(
    RoundLimits,
    deadline_s=st.floats(1e-3, 1e9),
    samples=st.integers(0, 1000),
    traffic_bytes=st.none() | st.integers(0, 2 * 10**9),
    energy_j=st.none() | amounts,
)


@settings(deadline=None)
@given(fleets, costs, bounds)
def test_columns_say_what_profiles_say(fleet, cost: Cost, limits: RoundLimits) -> None:
    bearers = Bearers.of(fleet_table(fleet))
    assert bearers.round_s(cost, limits).tolist() == [limits.predict(cost, one).round_s for one in fleet.values()]
    assert bearers.carry(cost, limits).tolist() == [not limits.excesses(cost, one) for one in fleet.values()]


@given(fleets)
@settings(deadline=None)
def test_a_row_is_a_device(fleet) -> None:
    bearers = Bearers.of(fleet_table(fleet))
    for row, profile in enumerate(fleet.values()):
        told = {name: quantity.value for name, quantity in bearers.profile(row).quantities.items()}
        assert told == {name: quantity.value for name, quantity in profile.completed().quantities.items()}
