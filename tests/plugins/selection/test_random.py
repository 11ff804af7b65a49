"""Some take part."""

from collections import Counter
from math import ceil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.plugins.selection.random import RandomOptions, RandomSelector
from tierwise.plugins.testing import check_selector


def candidates_of(count: int) -> dict[DeviceId, HardwareProfile]:
    return {DeviceId(f"d{number:02}"): HardwareProfile() for number in range(count)}


@pytest.mark.parametrize("options", [RandomOptions(), RandomOptions(fraction=0.1), RandomOptions(count=5)])
def test_conformance(options: RandomOptions) -> None:
    check_selector(RandomSelector(options))


@given(
    count=st.integers(min_value=3, max_value=50),
    fraction=st.floats(min_value=0.01, max_value=1) | st.none(),
    seed=st.integers(min_value=0, max_value=2**63),
)
def test_a_fraction_rounded_up_and_at_least_three(count: int, fraction: float | None, seed: int) -> None:
    candidates = candidates_of(count)
    chosen = RandomSelector(RandomOptions(fraction=fraction)).select(candidates, seed=seed)
    assert len(set(chosen)) == len(chosen) == max(3, ceil((fraction or 0.5) * count))
    assert set(chosen) <= set(candidates)
    backwards = dict(reversed(candidates.items()))
    assert RandomSelector(RandomOptions(fraction=fraction)).select(backwards, seed=seed) == chosen


@given(count=st.integers(min_value=3, max_value=50), wanted=st.integers(min_value=3, max_value=60))
def test_a_count_or_all_there_are(count: int, wanted: int) -> None:
    chosen = RandomSelector(RandomOptions(count=wanted)).select(candidates_of(count), seed=0)
    assert len(set(chosen)) == len(chosen) == min(count, wanted)


def test_everybody_has_the_same_chance() -> None:
    selector = RandomSelector(RandomOptions(count=3))
    turns = Counter(device for seed in range(3000) for device in selector.select(candidates_of(9), seed=seed))
    # Binomial with mean 1000 and deviation 26: five deviations
    assert all(870 < turns[device] < 1130 for device in candidates_of(9))


def test_both_options_exclude_each_other() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"fraction = 0.5 and count = 4 exclude each other"):
        msgspec.convert({"fraction": 0.5, "count": 4}, RandomOptions)


@pytest.mark.parametrize("options", [{"count": 2}, {"fraction": 0}, {"fraction": 1.1}])
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, RandomOptions)
