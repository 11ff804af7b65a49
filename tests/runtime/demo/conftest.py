"""A small demonstration: twelve devices of the user's own, 300 digits, and 60 more that the coordinator holds."""

from pathlib import Path

import pytest

from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.brought import Wanted
from tierwise.runtime.demo.comparison import SeedResult
from tierwise.runtime.demo.outcome import ArmResult, run_arm
from tierwise.runtime.demo.plan import Plan, make_plan

DATA = "digits:samples=300,reserved=60"


@pytest.fixture(scope="session")
def small_fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of twelve devices, each twice as fast as the one before."""
    path = tmp_path_factory.mktemp("fleet") / "devices.csv"
    rows = [f"d{n},{3e8 * 2**n},1e9,1e7,1e7,{2 + n}" for n in range(12)]
    header = "device,cpu_flops,memory_bytes,uplink_bytes_per_s,downlink_bytes_per_s,power_w"
    path.write_text("\n".join([header, *rows]))
    return path


@pytest.fixture(scope="session")
def wanted(small_fleet: Path) -> Wanted:
    return Wanted(DATA, small_fleet)


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return Plugins.discover()


@pytest.fixture(scope="session")
def plan(wanted: Wanted, plugins: Plugins) -> Plan:
    return make_plan(0, plugins, wanted)


@pytest.fixture(scope="session")
def arms(plan: Plan, plugins: Plugins) -> list[ArmResult]:
    """Return all arms of the small plan, run."""
    return [run_arm(plan, arm.name, plugins, StopToken()) for arm in plan.arms]


@pytest.fixture(scope="session")
def result(plan: Plan, arms: list[ArmResult]) -> SeedResult:
    return SeedResult.of(plan, arms)
