"""The probe of the processor's load."""

import itertools
import os
from types import SimpleNamespace

import anyio
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes import load
from tierwise.plugins.probes.load import LoadOptions, LoadProbe, Spent, idle_ratio
from tierwise.plugins.testing import check_probe

QUICK = LoadProbe(LoadOptions(seconds=0.1))
seconds = st.floats(0, 1e6)


def test_conformance() -> None:
    check_probe(QUICK)


def core(**spent: float) -> SimpleNamespace:
    """Return a processor's times as psutil gives them: iterable, with names."""

    class Times(SimpleNamespace):
        def __iter__(self):
            return iter(vars(self).values())

    return Times(**spent)


def looking(monkeypatch: pytest.MonkeyPatch, *looks: list[SimpleNamespace], own: float = 0.0) -> float | Unmeasured:
    times, clock = iter(looks), itertools.count(5.0, own)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(times))
    monkeypatch.setattr(load.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 2}, raising=False)
    return anyio.run(LoadProbe(LoadOptions(seconds=0.1)).measure)["idle_ratio"]


def test_what_is_idle_and_what_this_process_took_is_free_on_the_cores_that_it_may_use(monkeypatch) -> None:
    before = [core(user=10.0, idle=20.0, iowait=1.0), core(user=0.0, idle=0.0, iowait=0.0)] * 2
    after = [
        core(user=16.0, idle=23.0, iowait=2.0),  # 10 s, of which 4 idle
        core(user=99.0, idle=0.0, iowait=0.0),  # another's core
        core(user=17.0, idle=23.0, iowait=1.0),  # 10 s, of which 3 idle
        core(user=99.0, idle=0.0, iowait=0.0),
    ]
    after[0], before[2] = after[0], before[0]
    assert looking(monkeypatch, before, after, own=5.0) == 0.6


def test_the_first_sample_begins_when_the_probe_is_made_and_each_later_one_when_it_is_asked(monkeypatch) -> None:
    looks = [[core(user=0.0, idle=0.0)], [core(user=5.0, idle=5.0)], [core(user=5.0, idle=5.0)]]
    looks.append([core(user=6.0, idle=14.0)])
    times = iter(looks)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(times))
    monkeypatch.setattr(load.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    probe = LoadProbe(LoadOptions(seconds=0.1))
    assert [anyio.run(probe.measure)["idle_ratio"] for _ in range(2)] == [0.5, 0.9]


def test_a_guests_time_counts_once(monkeypatch) -> None:
    before = [core(user=0.0, idle=0.0, guest=0.0, guest_nice=0.0)]
    after = [core(user=5.0, idle=5.0, guest=5.0, guest_nice=0.0)]
    assert looking(monkeypatch, before, after) == 0.5


def test_counters_that_stand_still_have_their_reason(monkeypatch) -> None:
    look = [core(user=1.0, idle=1.0)]
    assert looking(monkeypatch, look, look) == Unmeasured("the system does not count what its processors do")


@pytest.mark.parametrize("error", [PermissionError("denied"), NotImplementedError("not here")])
def test_a_system_that_does_not_tell_has_its_reason(monkeypatch, error) -> None:
    def refuse(percpu: bool) -> None:
        raise error

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    reason = f"the system does not tell what its processors do: {error}"
    assert anyio.run(LoadProbe(LoadOptions()).measure) == {"idle_ratio": Unmeasured(reason)}


@given(st.tuples(seconds, seconds, seconds), st.tuples(seconds, seconds, seconds))
def test_it_is_always_a_ratio(one, other) -> None:
    found = idle_ratio(Spent(*one), Spent(*other))
    assert isinstance(found, Unmeasured) or 0 <= found <= 1
