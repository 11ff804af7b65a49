"""Federations under attack: where the mean collapses, a robust aggregator goes on as if nobody attacked."""

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _attacks() -> ModuleType:
    """Import what the benchmark has, which is on no path; the learner in it is found by its module's name."""
    path = Path(__file__).parents[2] / "benchmarks" / "attacks.py"
    spec = importlib.util.spec_from_file_location("attacks", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["attacks"] = module
    spec.loader.exec_module(module)
    return module


MODULE = _attacks()
ATTACKS, accuracy = MODULE.ATTACKS, MODULE.accuracy
POINTS = 0.02
REDUCERS = ("median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "clipped-mean")
COLLAPSE = [attack for attack in ATTACKS if attack not in ("none", "label flip")]


@functools.cache
def reached(aggregator: str, attack: str, rounds: int, seed: int = 0) -> float:
    return accuracy(aggregator, attack, rounds=rounds, seed=seed)


def test_two_of_ten_ruin_the_mean_and_not_a_robust_reducer():
    run = functools.partial(accuracy, attack="inner product", devices=10, rounds=6)
    assert run("mean") < 0.5
    for aggregator in ("median", "geometric-median"):
        assert run(aggregator) > 0.85


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("attack", COLLAPSE)
def test_the_mean_collapses(attack):
    assert reached("mean", attack, 20) < 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("aggregator", REDUCERS)
def test_with_a_fifth_of_attackers_accuracy_stays(aggregator, attack):
    """Within two points of what it reaches without attackers; clipped and trimmed means, which keep a part, four."""
    points = 2 * POINTS if aggregator in ("clipped-mean", "trimmed-mean") else POINTS
    assert reached(aggregator, attack, 20) >= reached(aggregator, "none", 20) - points
