"""Groups by rules."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile, fleet_table
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits
from tierwise.plugins import Plugins
from tierwise.plugins.grouping.threshold import Rule, ThresholdOptions, ThresholdPolicy
from tierwise.plugins.testing import check_grouping_policy

LIMITS = RoundLimits(deadline_s=60, samples=100)
SMALL = ("small", "memory_bytes < 2")
MIDDLE = ("middle", "memory_bytes < 8")


def fleet_of(**memory: float) -> dict[DeviceId, HardwareProfile]:
    return {DeviceId(name): HardwareProfile.declared(memory_bytes=value) for name, value in memory.items()}


def policy_of(*rules: tuple[str, str], otherwise: str = "strongest") -> ThresholdPolicy:
    return ThresholdPolicy(
        ThresholdOptions(rules=tuple(Rule(name=name, where=where) for name, where in rules), otherwise=otherwise)  # type: ignore[arg-type]
    )


def divide(fleet: dict[DeviceId, HardwareProfile], *rules: tuple[str, str], otherwise: str = "strongest") -> Grouping:
    return policy_of(*rules, otherwise=otherwise).group(fleet_table(fleet), (), LIMITS)


@pytest.mark.parametrize("otherwise", ["strongest", "leave-out"])
def test_conformance(otherwise) -> None:
    rules = (("small", "memory_bytes < 2e9"), ("middle", "memory_bytes < 2e10 OR cpu_flops = 0"))
    check_grouping_policy(policy_of(*rules, otherwise=otherwise))


def test_the_first_rule_that_holds_places_a_device() -> None:
    grouping = divide(fleet_of(a=1, b=1, c=1, d=5, e=5, f=5, g=9, h=9, i=9), SMALL, MIDDLE)
    assert grouping.groups == (("a", "b", "c"), ("d", "e", "f"), ("g", "h", "i"))
    assert grouping.reasons[DeviceId("d")] == "middle: memory_bytes < 8"
    assert grouping.reasons[DeviceId("g")] == "no rule holds"


def test_who_matches_no_rule_can_be_left_out() -> None:
    grouping = divide(fleet_of(a=1, b=1, c=1, d=9), SMALL, MIDDLE, otherwise="leave-out")
    assert grouping.groups == (("a", "b", "c"),)
    assert grouping.unplaced == {"d": "no rule holds"}


def test_what_is_not_known_is_not_taken_for_strong() -> None:
    fleet = fleet_of(a=1, b=1, c=1, x=1, y=1, z=1)
    for name, power in (("a", 1), ("b", 1), ("c", 1), ("x", 9), ("y", 9)):
        fleet[DeviceId(name)] = HardwareProfile.declared(power_w=power)
    grouping = divide(fleet, ("frugal", "power_w < 5"))
    assert grouping.groups == (("a", "b", "c", "x", "y"),)  # two are no group
    assert grouping.unplaced == {"z": "no rule holds; of frugal it cannot be told, since it does not report all of it"}
    assert divide(fleet, ("frugal", "power_w IS NULL OR power_w < 5")).unplaced == {}


def test_a_rule_may_compare_with_the_fleet() -> None:
    grouping = divide(fleet_of(a=1, b=2, c=3, d=7, e=8, f=9), ("below the mean", "memory_bytes < AVG(memory_bytes)"))
    assert grouping.groups == (("a", "b", "c"), ("d", "e", "f"))


def test_a_rule_that_goes_by_the_order_of_devices_has_them_in_that_of_their_ids() -> None:
    table = fleet_table(fleet_of(a=4, b=2, c=3, d=7, e=8, f=9))
    policy = policy_of(("no more than the first", "memory_bytes <= FIRST(memory_bytes)"))
    for rows in (table, table.reverse()):
        assert policy.group(rows, (), LIMITS).groups == (("a", "b", "c"), ("d", "e", "f"))


@pytest.mark.parametrize(
    ("memory", "groups"),
    [
        pytest.param({"a": 1, "b": 1, "c": 1, "d": 5, "e": 9, "f": 9, "g": 9}, ("abcd", "efg"), id="into the weaker"),
        pytest.param({"a": 1, "d": 5, "e": 5, "f": 5, "g": 9, "h": 9, "i": 9}, ("adef", "ghi"), id="into the weakest"),
        pytest.param({"a": 1, "b": 1, "d": 5, "g": 9}, ("abdg",), id="one after the other"),
        pytest.param({"a": 1, "b": 1, "c": 1, "g": 9, "h": 9}, ("abcgh",), id="past a group that nobody is in"),
    ],
)
def test_fewer_than_three_are_merged(memory, groups) -> None:
    grouping = divide(fleet_of(**memory), SMALL, MIDDLE)
    assert grouping.groups == tuple(tuple(group) for group in groups)
    assert grouping.fault([DeviceId(name) for name in memory]) is None


def test_who_was_merged_is_told_so() -> None:
    grouping = divide(fleet_of(a=1, b=1, c=1, d=5), SMALL, MIDDLE)
    assert grouping.reasons[DeviceId("d")] == (
        "middle: memory_bytes < 8; merged into the group of: small: memory_bytes < 2"
    )


def test_fewer_than_three_in_all_are_no_group() -> None:
    grouping = divide(fleet_of(a=1, b=1, c=9), SMALL, MIDDLE, otherwise="leave-out")
    assert grouping.groups == ()
    assert grouping.unplaced == {
        "a": "only 2 of the fleet's devices could be placed, a group needs at least 3",
        "b": "only 2 of the fleet's devices could be placed, a group needs at least 3",
        "c": "no rule holds",
    }


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=3, max_size=40), st.sampled_from(["strongest", "leave-out"]))
def test_groups_keep_the_order_of_the_rules(memory: list[int], otherwise: str) -> None:
    fleet = fleet_of(**{f"d{n:02}": float(value) for n, value in enumerate(memory)})
    grouping = divide(fleet, SMALL, MIDDLE, ("large", "memory_bytes < 10"), otherwise=otherwise)
    assert grouping.fault(list(fleet)) is None
    place = {device: sum(fleet[device].value("memory_bytes") >= bound for bound in (2, 8, 10)) for device in fleet}
    spans = [{place[device] for device in group} for group in grouping.groups]
    for weaker, stronger in pairwise(spans):
        assert max(weaker) < min(stronger)
    assert len(grouping.reasons) + len(grouping.unplaced) == len(fleet)


# -- what is wrong with a rule

COLUMNS = "cpu_count, cpu_flops, downlink_bytes_per_s, memory_bytes, uplink_bytes_per_s"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("memory_bytes <", "cannot be read: unable to parse 'memory_bytes <' as Expr"),
        ("nothing(memory_bytes)", "cannot be read: unsupported function 'nothing'"),
        (
            "memory_bytes < 2_000",
            "gives its result a name ('_000'), which says nothing in a condition: write numbers without _, and no AS",
        ),
    ],
)
def test_a_condition_that_cannot_be_read_is_the_configurations_fault(where, message) -> None:
    with pytest.raises(ConfigurationError) as caught:
        policy_of(("small", where))
    assert str(caught.value) == f"rule 'small' of grouping policy 'threshold', {where!r}, {message}"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "memory_byte < 3",
            (
                "asks for 'memory_byte', which no device of this fleet reports (did you mean 'memory_bytes'?); there "
                f"are device, {COLUMNS}"
            ),
        ),
        (
            "memory_bytes < 'x'",
            (
                "cannot be applied to the columns device (text), cpu_count (number), cpu_flops (number), "
                "downlink_bytes_per_s (number), memory_bytes (number), uplink_bytes_per_s (number): cannot compare "
                "string with numeric type (f64)"
            ),
        ),
        (
            "memory_bytes",
            f"gives values of type Float64, a condition gives true or false: compare something, of device, {COLUMNS}",
        ),
    ],
)
def test_a_condition_that_cannot_be_applied_names_rule_text_and_columns(where, message) -> None:
    with pytest.raises(ConfigurationError) as caught:
        divide(fleet_of(a=1, b=2, c=3), ("small", where))
    assert str(caught.value) == f"rule 'small' of grouping policy 'threshold', {where!r}, {message}"


WORDS = "memory_bytes cpu_flops device power_w < > = AND OR NOT ( ) 1 2e9 'x' NULL IS IN AVG CASE WHEN END AS , * -"


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=9))
def test_any_text_divides_the_fleet_or_is_a_configuration_error(words: list[str]) -> None:
    fleet = fleet_of(a=1, b=2, c=3)
    try:
        grouping = divide(fleet, ("rule", " ".join(words) or " "))
    except ConfigurationError:
        return
    assert grouping.fault(list(fleet)) is None


def test_options_as_toml_gives_them() -> None:
    make = Plugins.discover().grouping_policy
    assert make("threshold", {"rules": [{"name": "small", "where": "memory_bytes < 2"}]})
    with pytest.raises(ConfigurationError, match=r"^grouping\.rules: .*needs the option 'rules'"):
        make("threshold", {}, where="grouping")
    with pytest.raises(ConfigurationError, match="wher"):
        make("threshold", {"rules": [{"name": "small", "wher": "memory_bytes < 2"}]})
    with pytest.raises(ConfigurationError, match="two rules have one name: small, small"):
        make("threshold", {"rules": [{"name": "small", "where": "memory_bytes < 2"}] * 2})
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"rules": []}, ThresholdOptions)
