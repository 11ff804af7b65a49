"""The devices of one group are cut off from the broker, while those of the other are not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from tests.runtime.broker import free_port, needs_mosquitto, running
from tests.runtime.faults.namespaces import Namespace, left_over, namespace
from tests.runtime.faults.proxy import HOST, Proxy
from tests.runtime.faults.run import STRONG, WEAK, Federation, targets
from tests.runtime.programs.processes import scene

pytestmark = needs_mosquitto
AWAY = {"d3", "d4", "d5"}


@dataclass
class Island:
    """Where the devices are that get cut off.

    Attributes
    ----------
    broker
        The broker's URL, as it is seen from there.
    command
        What stands before a command that is to run there.
    cut, mend
        Part it from the broker, and join it again.
    """

    broker: str
    command: tuple[str, ...]
    cut: Callable[[], None]
    mend: Callable[[], None]


@pytest.fixture
def shores(request, tmp_path) -> Iterator[tuple[str, Island]]:
    """The broker's URL, and an island: with "silent" nobody is told that it is cut off, with "loud" connections break.

    The former is a network of its own behind a link that goes down, or where none can be made a proxy that stalls.
    """
    (tmp_path / "broker").mkdir()
    with ExitStack() as stack:
        apart = _namespace(stack) if request.param == "silent" else None
        port = free_port()
        more = f"listener {port} {apart.host}\nallow_anonymous true" if apart else ""
        broker = stack.enter_context(running(tmp_path / "broker", more=more))
        if apart:
            island = Island(f"mqtt://{apart.host}:{port}", apart.command, apart.cut, apart.mend)
        else:
            proxy = stack.enter_context(Proxy(broker.host, broker.port).running())
            cut = proxy.cut if request.param == "loud" else proxy.stall
            island = Island(f"mqtt://{HOST}:{proxy.port}", (), cut, proxy.mend)
        yield f"mqtt://{broker.host}:{broker.port}", island


def _namespace(stack: ExitStack) -> Namespace | None:
    try:
        return stack.enter_context(namespace())
    except OSError as error:
        print(f"no network namespace can be made here, a proxy does it: {error}")
        return None


@pytest.mark.parametrize("shores", ["silent"], indirect=True)
def test_a_group_that_was_cut_off_goes_on_when_it_is_back(shores, tmp_path) -> None:
    broker, island = shores
    with scene(tmp_path, broker) as stage:
        run = Federation(stage, deadline_s=60, grace_s=60)
        near = run.crew("near", broker, WEAK, (0, 1, 2))
        far = run.crew("far", island.broker, STRONG, (3, 4, 5), island.command)
        for group in ("g1", "g2"):
            run.until_rounds(group, 3)
        island.cut()
        run.until_rounds("g1", 10)  # while nobody knows of it
        lost = run.until("device-lost", times=3)
        run.until("group-short", "g2")
        before = run.rounds("g2")
        run.until_rounds("g1", 10)  # while all do
        assert run.rounds("g2") == before
        island.mend()
        run.until("group-recovered", "g2")
        for group in ("g1", "g2"):
            run.until_rounds(group, 3)
        run.end()
        assert run.coordinator.wait() == 0, run.coordinator.err.read_text()
        reached = targets(near, far)
    assert {one["device"] for one in lost} == AWAY
    assert not run.events("group-merged")
    assert not run.events("round-abandoned")  # the round that was open was closed with all three
    assert {device for device, (group, _) in reached.items() if group == "g2"} == AWAY
    assert len(reached) == 6
    assert len(set(reached.values())) == 2


@pytest.mark.parametrize("shores", ["loud"], indirect=True)
def test_a_group_that_stays_cut_off_is_merged_and_its_devices_come_back_to_the_other(shores, tmp_path) -> None:
    broker, island = shores
    with scene(tmp_path, broker) as stage:
        run = Federation(stage, deadline_s=60, grace_s=1)
        near = run.crew("near", broker, WEAK, (0, 1, 2))
        far = run.crew("far", island.broker, STRONG, (3, 4, 5), island.command)
        for group in ("g1", "g2"):
            run.until_rounds(group, 3)
        island.cut()
        merged = run.until("group-merged")
        run.until_rounds("g1", 10)
        island.mend()
        run.coordinator.until(lambda _: run.events("round-closed", "g1")[-1]["devices"] == 6)
        run.end()
        assert run.coordinator.wait() == 0, run.coordinator.err.read_text()
        reached = targets(near, far)
    assert [(one["source"], one["target"], set(one["devices"])) for one in merged] == [("g2", "g1", AWAY)]
    assert len(reached) == 6
    assert {group for group, _ in reached.values()} == {"g1"}
    assert len(set(reached.values())) == 1


def test_nothing_is_left_of_a_network_namespace() -> None:
    before, seen = left_over(), set()
    with suppress(OSError, ZeroDivisionError), namespace() as apart:  # where none can be made, nothing is left either
        seen = left_over()
        apart.cut()
        1 / 0  # noqa: B018
    assert len(seen - before) in (0, 1)
    assert left_over() == before
