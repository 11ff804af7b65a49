"""Stop when a budget is used up."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import NeverStopsError
from tierwise.plugins.stopping.budgets import EnergyOptions, EnergyRule, TrafficOptions, TrafficRule
from tierwise.plugins.testing import check_stop_rule

from .records import RECORD

amounts = st.lists(st.integers(min_value=1, max_value=10**6), min_size=1, max_size=20)


@pytest.mark.parametrize("options", [TrafficOptions(), TrafficOptions(budget_bytes=1e6, per_device=True)])
def test_conformance_of_traffic(options: TrafficOptions) -> None:
    check_stop_rule(TrafficRule(options))


@pytest.mark.parametrize("budget_j", [50.0, 1e6])
def test_conformance_of_energy(budget_j: float) -> None:
    check_stop_rule(EnergyRule(EnergyOptions(budget_j=budget_j)))


def test_the_groups_traffic() -> None:
    rule = TrafficRule(TrafficOptions(budget_bytes=3000))  # a round moves 900
    assert [rule.check([RECORD] * count) for count in (1, 2)] == [None, None]
    assert rule.check([RECORD] * 3) == "2,700 of 3,000 bytes are used, and another round takes 900"
    assert TrafficRule(TrafficOptions(budget_bytes=2700)).check([RECORD] * 3) == "2,700 of 2,700 bytes are used"


def test_the_traffic_of_a_device_that_takes_part_in_every_round() -> None:
    rule = TrafficRule(TrafficOptions(budget_bytes=500, per_device=True))  # the model of 100, down and up
    assert rule.check([RECORD]) is None
    assert rule.check([RECORD] * 2) == ("400 of 500 bytes are used by each device, and another round takes 200")


@given(amounts, st.integers(min_value=1, max_value=10**7))
def test_no_round_that_could_be_foreseen_exceeds_the_budget(moved: list[int], budget: int) -> None:
    rule = TrafficRule(TrafficOptions(budget_bytes=budget))
    history = [msgspec.structs.replace(RECORD, download_bytes=one, upload_bytes=0) for one in moved]
    for count in range(1, len(history) + 1):
        goes_on = rule.check(history[:count]) is None
        assert goes_on == (sum(moved[:count]) + moved[count - 1] <= budget)


def test_the_groups_energy() -> None:
    rule = EnergyRule(EnergyOptions(budget_j=35))  # a round takes 10
    assert [rule.check([RECORD] * count) for count in (1, 2)] == [None, None]
    assert rule.check([RECORD] * 3) == "30 of 35 J are used, and another round takes 10"


def test_rounds_whose_energy_is_not_known_count_as_none() -> None:
    rule, unknown = EnergyRule(EnergyOptions(budget_j=15)), msgspec.structs.replace(RECORD, energy_j=None)
    assert rule.check([RECORD, unknown]) == "10 of 15 J are used, and another round takes 10"
    assert EnergyRule(EnergyOptions(budget_j=25)).check([unknown, RECORD, unknown]) is None


def test_a_budget_that_nothing_can_use_up_is_an_error() -> None:
    unknown = msgspec.structs.replace(RECORD, energy_j=None)
    with pytest.raises(NeverStopsError) as caught:
        EnergyRule(EnergyOptions(budget_j=15)).check([unknown])
    assert str(caught.value) == (
        "budget_j: stop rule 'energy' cannot tell when 15 J are used up, since no device of the group tells its power: "
        "declare power_w (watts at full load), or choose another rule"
    )


@pytest.mark.parametrize(("values", "kind"), [({"budget_bytes": 0}, TrafficOptions), ({"budget_j": -1}, EnergyOptions)])
def test_options_out_of_bounds_are_refused(values: dict[str, object], kind: type) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, kind)
