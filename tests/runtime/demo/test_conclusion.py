"""What is said at the end is what the figures show: nothing of data that nobody learned, nor of arms that are level."""

import msgspec

from tierwise.runtime.demo.comparison import Comparison, SeedResult, Spread, compare
from tierwise.runtime.demo.conclusion import conclusion


def with_accuracy(comparison: Comparison, accuracy: float, largest_class: float) -> Comparison:
    arms = tuple(msgspec.structs.replace(arm, accuracy=Spread.of([accuracy])) for arm in comparison.arms)
    return msgspec.structs.replace(comparison, arms=arms, largest_class=(largest_class,))


def test_the_share_of_the_most_frequent_class_is_counted(result: SeedResult) -> None:
    labels = [int(one) for spec in result.plan.devices.values() for one in spec.data.holdout.labels]
    most = max(labels.count(one) for one in set(labels)) / len(labels)
    assert compare([result]).largest_class == (most,)


def test_at_chance_level_the_figures_are_said_to_show_nothing(result: SeedResult) -> None:
    told = conclusion(with_accuracy(compare([result]), 0.51, 0.5))
    assert told.startswith("What to make of it: nothing.")
    assert "in 51.0 % of all cases" in told
    assert "uses all data" not in told


def test_arms_that_are_level_are_said_to_be(result: SeedResult) -> None:
    assert "the federations are level, 90.0 % to 90.0 %" in conclusion(with_accuracy(compare([result]), 0.9, 0.5))


def test_nobody_is_said_to_reach_or_to_cost_what_the_figures_do_not_have(result: SeedResult) -> None:
    usual = compare([result])
    told = conclusion(usual)
    assert "The smallest reaches all, costs least and stays small for the strong." in told
    assert "tierwise gives each device a model that fits the hardware, and uses all data." in told


def test_who_is_left_out_and_what_it_costs_is_told_as_it_is(result: SeedResult) -> None:
    usual = compare([result])
    arms = tuple(
        msgspec.structs.replace(
            arm, reached=Spread.of([7]), data_share=Spread.of([0.6]), traffic_bytes=Spread.of([1e6 + number])
        )
        for number, arm in enumerate(usual.arms)
    )
    told = conclusion(msgspec.structs.replace(usual, arms=arms))
    assert "tierwise gives 7 devices a model that fits the hardware, and uses 60.0 % of the data." in told
    assert "The smallest stays small for the strong." in told
