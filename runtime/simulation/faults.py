"""Faults for a simulation: what goes wrong, when, and whom it befalls, all of it from one seed.

A plan is data. The fleet performs what befalls devices and the network (`FaultyLinks` decides for each envelope), a
`tierwise.runtime.simulation.mortal.MortalStore` ends the lives of coordinators. Everything is drawn in the order in
which things happen on virtual time, so the same plan over the same federation gives the same run, to the byte.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tierwise.core.ids import DeviceId


class Way(StrEnum):
    """A direction."""

    UP = "up"
    """From a device to the coordinator."""
    DOWN = "down"
    """From the coordinator to a device; a broadcast travels to each device on its own."""


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What befalls envelopes in one direction.

    Attributes
    ----------
    drop, duplicate, delay, reorder
        The probability of each, for every envelope on its own. Envelopes of a device keep their order, but for those
        that are reordered: those neither wait for the ones before nor hold up the ones after them.
    delay_s
        How long a delay is, at least and at the most; a duplicate, and what is reordered, are delayed, too.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    delay_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Partition:
    """Devices that are cut off for a while.

    Attributes
    ----------
    devices
        Whose envelopes are lost, both ways, also those that are under way.
    start_s, end_s
        When, by the simulation's clock.
    noticed_after_s
        When, after the start, the coordinator is told that their connections broke; at the end they know it
        themselves and say hello. None for a partition that nobody notices.
    """

    devices: frozenset[DeviceId]
    start_s: float
    end_s: float
    noticed_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class AgentCrash:
    """A device whose program dies, and with it all that it knew.

    Attributes
    ----------
    device
        Which.
    at_s
        When, by the simulation's clock.
    down_s
        After how many seconds it is started again; None for never.
    noticed_after_s
        After how many seconds the coordinator is told that its connection broke, which can be when it is back
        already; None for never.
    """

    device: DeviceId
    at_s: float
    down_s: float | None = None
    noticed_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class CoordinatorCrash:
    """A coordinator that dies of one of its writes.

    Attributes
    ----------
    write
        Which: appends to the log, blobs put and deletions count alike, from 1, over all lives of the coordinator.
    done
        Whether the write was done before it died, or not at all.
    down_s
        After how many seconds the next coordinator starts.
    """

    write: int
    done: bool
    down_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong in a run.

    Attributes
    ----------
    seed
        What befalls each envelope is drawn from it.
    up, down
        The two directions of every device's link.
    partitions, agent_crashes, coordinator_crashes
        Single misfortunes.
    write_s
        How long a write to the store takes, in seconds, at least and at the most: much can happen meanwhile.
    forgetful
        Whether what is sent to the coordinator while there is none, and what it did not take before it died, is lost.
    """

    seed: int
    up: LinkFaults = LinkFaults()
    down: LinkFaults = LinkFaults()
    partitions: tuple[Partition, ...] = ()
    agent_crashes: tuple[AgentCrash, ...] = ()
    coordinator_crashes: tuple[CoordinatorCrash, ...] = ()
    write_s: tuple[float, float] = (0.0, 0.0)
    forgetful: bool = False

    @classmethod
    def drawn(cls, rng: random.Random, devices: Sequence[DeviceId], *, horizon_s: float, writes: int) -> "FaultPlan":
        """Draw a plan, mild or wild, in which each kind of fault is as likely there as not.

        Parameters
        ----------
        rng
            Where all of it comes from, the plan's own seed included.
        devices
            The fleet.
        horizon_s
            Nothing begins later.
        writes
            The last write that a coordinator may die of.
        """
        return cls(
            seed=rng.getrandbits(64),
            up=_draw_link(rng, horizon_s),
            down=_draw_link(rng, horizon_s),
            partitions=tuple(_draw_partition(rng, devices, horizon_s) for _ in range(_draw_count(rng, 3))),
            agent_crashes=tuple(_draw_agent_crash(rng, devices, horizon_s) for _ in range(_draw_count(rng, 5))),
            coordinator_crashes=tuple(
                CoordinatorCrash(rng.randint(1, writes), rng.random() < 0.5, rng.choice((0.0, rng.uniform(0, 60))))
                for _ in range(_draw_count(rng, 6))
            ),
            write_s=(0.0, rng.choice((0.0, 0.0, 0.01, 0.1))),
            forgetful=rng.random() < 0.5,
        )


class FaultyLinks:
    """Decides what befalls each envelope.

    Parameters
    ----------
    plan
        Its seed, links and partitions.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self._rng = random.Random(plan.seed)  # noqa: S311  (misfortune is no secret)
        self._faults = {Way.UP: plan.up, Way.DOWN: plan.down}
        self._partitions = plan.partitions
        self._latest: dict[tuple[DeviceId, Way], float] = {}
        """When what is under way on a link arrives at the latest, but for what was reordered."""

    def arrivals(self, device: DeviceId, way: Way, due_at: float) -> Iterator[float]:
        """Yield when an envelope arrives that would do so at ``due_at``: once, never or more often."""
        faults = self._faults[way]
        if self._befalls(faults.drop):
            return
        yield self._arrival(device, way, due_at, faults)
        if self._befalls(faults.duplicate):
            yield due_at + self._rng.uniform(*faults.delay_s)

    def cut(self, device: DeviceId, at: float) -> bool:
        """Tell whether a device is cut off."""
        return any(one.start_s <= at < one.end_s and device in one.devices for one in self._partitions)

    def _arrival(self, device: DeviceId, way: Way, due_at: float, faults: LinkFaults) -> float:
        if self._befalls(faults.reorder):
            return due_at + self._rng.uniform(*faults.delay_s)
        delay_s = self._rng.uniform(*faults.delay_s) if self._befalls(faults.delay) else 0.0
        arrives_at = max(due_at + delay_s, self._latest.get((device, way), 0.0))
        self._latest[device, way] = arrives_at
        return arrives_at

    def _befalls(self, probability: float) -> bool:
        return self._rng.random() < probability


def _draw_count(rng: random.Random, limit: int) -> int:
    return rng.randint(1, limit) if rng.random() < 0.5 else 0


def _draw_link(rng: random.Random, horizon_s: float) -> LinkFaults:
    def probability(limit: float) -> float:
        return rng.uniform(0, limit) if rng.random() < 0.5 else 0.0

    return LinkFaults(
        drop=probability(0.4),
        duplicate=probability(0.3),
        delay=probability(0.5),
        reorder=probability(0.5),
        delay_s=(0.0, rng.choice((1.0, 10.0, horizon_s / 3))),
    )


def _draw_partition(rng: random.Random, devices: Sequence[DeviceId], horizon_s: float) -> Partition:
    start_s = rng.uniform(0, horizon_s)
    lasts_s = rng.uniform(1, horizon_s / 2)
    return Partition(
        devices=frozenset(rng.sample(devices, rng.randint(1, len(devices)))),
        start_s=start_s,
        end_s=start_s + lasts_s,
        noticed_after_s=rng.uniform(0, lasts_s) if rng.random() < 0.7 else None,
    )


def _draw_agent_crash(rng: random.Random, devices: Sequence[DeviceId], horizon_s: float) -> AgentCrash:
    return AgentCrash(
        device=rng.choice(devices),
        at_s=rng.uniform(0, horizon_s),
        down_s=None if rng.random() < 0.2 else rng.uniform(0, horizon_s / 2),
        noticed_after_s=None if rng.random() < 0.3 else rng.uniform(0, horizon_s / 4),
    )
