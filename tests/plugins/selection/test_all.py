"""Everybody takes part."""

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.plugins.selection.all import AllSelector
from tierwise.plugins.testing import check_selector


def test_conformance() -> None:
    check_selector(AllSelector())


def test_everybody_in_the_order_of_ids() -> None:
    candidates = {DeviceId(name): HardwareProfile() for name in "cab"}
    assert AllSelector().select(candidates, seed=1) == ["a", "b", "c"]
