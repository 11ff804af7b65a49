"""The training step that is timed."""

import itertools

import numpy as np

from tierwise.plugins.probes import _sgd
from tierwise.plugins.probes._sgd import measure_sgd_step


def test_it_is_a_step_downhill_along_the_gradient() -> None:
    model = _sgd._Model()
    before = model.loss()
    nudge = np.float32(1e-2)
    model.second[3, 4] += nudge
    slope = (model.loss() - before) / nudge
    model.second[3, 4] -= nudge
    weight = model.second[3, 4]
    model.step(rate=1.0)
    assert np.isclose(weight - model.second[3, 4], slope, rtol=0.1, atol=1e-4)


def test_many_steps_learn_the_batch() -> None:
    model = _sgd._Model()
    before = model.loss()
    for _ in range(50):
        model.step(rate=0.5)
    assert model.loss() < before / 10


def test_the_median_step_counts() -> None:
    # start, then begin and end of each step: 1 s, 5 s and 2 s, and then time is up
    ticks = iter([0.0, 0.0, 1.0, 1.0, 6.0, 6.0, 8.0])
    assert measure_sgd_step(8.0, lambda: next(ticks)) == 2.0


def test_a_slow_device_is_asked_for_one_step() -> None:
    ticks = itertools.count(0.0, 60.0)
    assert measure_sgd_step(0.1, lambda: next(ticks)) == 60.0
