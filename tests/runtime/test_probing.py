"""The probes of a machine, asked together: what fails, hangs and disturbs."""

import subprocess
import sys
import threading
import time

import anyio
import pytest

from tierwise.core.hardware import Origin, Quantity, Unmeasured
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.runtime.probing import BUDGET_S, Probing

from .helpers import descriptor, plugins_with

SHORT_S = 0.6


class Good:
    async def measure(self):
        return {"memory_bytes": 5.0, "cpu_flops": 7, "battery_ratio": Unmeasured("there is no battery")}


class Other:
    async def measure(self):
        return {"cpu_flops": 8.0, "battery_ratio": 0.5}


class Bad:
    async def measure(self):
        raise OSError("no such sensor")


class Wrong:
    async def measure(self):
        return {"mains_bool": 2.0, "Disk GB": 1.0, "disk_bytes": float("nan"), "ram_bytes": "much", "core_count": 3}


class Hanging:
    """Blocks its own event loop, until it is told not to."""

    over = threading.Event()
    asked = 0
    volatile = True

    async def measure(self):
        Hanging.asked += 1
        Hanging.over.wait(60)
        return {"disk_bytes": 3.0}


class Clinging:
    """Waits for a thread, and does not let go of it."""

    async def measure(self):
        await anyio.to_thread.run_sync(Hanging.over.wait, 60)
        return {"disk_bytes": 4.0}


class Counting:
    calls = 0

    async def measure(self):
        type(self).calls += 1
        return {f"{type(self).__name__.lower()}_count": type(self).calls}


class Changing(Counting):
    volatile = True


class Lonely(Counting):
    alone = True
    inside = 0
    together = 0

    async def measure(self):
        Lonely.inside += 1
        Lonely.together = max(Lonely.together, Lonely.inside + Meeting.inside)
        await anyio.sleep(0.05)
        Lonely.inside -= 1
        return {}


class Lonelier(Lonely):
    pass


class Meeting:
    """Measures as soon as two of them do."""

    inside = 0
    barrier = threading.Barrier(2)

    async def measure(self):
        Meeting.inside += 1
        await anyio.to_thread.run_sync(Meeting.barrier.wait, 30)
        Meeting.inside -= 1
        return {"disk_count": 1.0}


class MeetingToo(Meeting):
    pass


def probing(*classes, budget_s=BUDGET_S):
    known = plugins_with(*(descriptor(Kind.PROBE, cls.__name__.lower(), cls) for cls in classes))
    return Probing(known, [cls.__name__.lower() for cls in classes], budget_s)


def measured(*classes, budget_s=BUDGET_S):
    return anyio.run(probing(*classes, budget_s=budget_s).measure)


def test_what_cannot_be_measured_has_its_reason_and_the_profile_goes_on_without():
    reading = measured(Bad, Good)
    assert reading.quantities == {"memory_bytes": 5.0, "cpu_flops": 7.0}
    assert reading.unmeasured == {"battery_ratio": "there is no battery"}
    assert reading.failed == {"bad": "OSError: no such sensor"}
    assert reading.profile.quantities["cpu_flops"] == Quantity(value=7.0, origin=Origin.MEASURED)


def test_of_two_probes_the_latter_counts_and_who_knows_wins_over_who_does_not():
    assert measured(Other, Good).quantities["cpu_flops"] == 7.0
    reading = measured(Good, Other)
    assert reading.quantities == {"memory_bytes": 5.0, "cpu_flops": 8.0, "battery_ratio": 0.5}
    assert reading.unmeasured == {}
    assert measured(Other, Good).quantities["battery_ratio"] == 0.5


def test_what_a_probe_should_not_have_given_is_left_out_by_name():
    reading = measured(Wrong)
    assert reading.quantities == {"core_count": 3.0}
    assert list(reading.unmeasured) == ["mains_bool", "Disk GB", "disk_bytes", "ram_bytes"]
    assert reading.unmeasured["mains_bool"] == "mains_bool: a bool is 0 or 1, got 2.0"


# -- time


@pytest.fixture
def hanging():
    """Let probes hang until the test ends."""
    Hanging.over.clear()
    Hanging.asked = 0
    yield
    Hanging.over.set()


@pytest.mark.usefixtures("hanging")
@pytest.mark.parametrize("cls", [Hanging, Clinging])
def test_who_hangs_is_cut_off_and_the_others_are_not(cls):
    start = time.monotonic()
    reading = measured(cls, Good, Lonelier, budget_s=SHORT_S)
    assert time.monotonic() - start < 30, "nobody waits for who hangs"
    assert reading.quantities == {"memory_bytes": 5.0, "cpu_flops": 7.0}
    assert list(reading.failed) == [cls.__name__.lower()]
    assert reading.failed[cls.__name__.lower()].startswith("it has not answered within 0.")


@pytest.mark.usefixtures("hanging")
def test_who_hangs_is_asked_again_only_after_it_has_come_to_an_end():
    async def main():
        asking = probing(Hanging, Good, budget_s=SHORT_S)
        await asking.measure()
        again = await asking.measure_again()
        assert (Hanging.asked, list(again.failed)) == (1, ["hanging"])
        Hanging.over.set()
        for thread in threading.enumerate():
            if thread.name == "probe hanging":
                thread.join(30)
        return (await asking.measure_again()).quantities

    assert anyio.run(main) == {"memory_bytes": 5.0, "cpu_flops": 7.0, "disk_bytes": 3.0}


def test_a_program_ends_while_a_probe_hangs():
    code = (
        "import anyio, time, threading\n"
        "from tierwise.plugins.descriptors import Kind\n"
        "from tests.runtime.helpers import descriptor, plugins_with\n"
        "from tests.runtime.test_probing import Clinging, Probing\n"
        "known = plugins_with(descriptor(Kind.PROBE, 'clinging', Clinging))\n"
        "print(anyio.run(Probing(known, ['clinging'], 0.2).measure).failed)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=45, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "it has not answered within 0.2 s" in done.stdout


def test_who_wants_to_be_alone_is_and_the_others_are_asked_side_by_side():
    Lonely.together = 0
    reading = measured(Meeting, Lonely, MeetingToo, Lonelier, budget_s=60)
    assert reading.failed == {}
    assert Lonely.together == 1


def test_only_what_changes_is_measured_again():
    async def main():
        asking = probing(Counting, Changing)
        first = await asking.measure()
        second = await asking.measure_again()
        third = await asking.measure_again()
        return [one.quantities for one in (first, second, third)]

    Counting.calls = Changing.calls = 0
    assert anyio.run(main) == [{"counting_count": 1.0, "changing_count": float(calls)} for calls in (1, 2, 3)]


def test_the_built_in_probes_are_done_within_their_time():
    reading = anyio.run(Probing(Plugins.discover()).measure)
    assert reading.failed == {}
    assert {"cpu_flops", "memory_bytes", "storage_bytes"} <= reading.quantities.keys()
