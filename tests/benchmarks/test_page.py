"""The page about performance has the figures of the committed results, and no others between its markers."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from page import PAGE, PICTURE, blocks, filled
from plot import bars, draw
from registry import benchmarks
from report import Row, below, compared
from results import COMMITTED, results

from tests.benchmarks.making import a_result, speed, time

PAGE_OF_ONE = "".join(
    f"<!-- {name}: generated -->\nold\n<!-- {name}: end -->\n" for name in ("goals", "machine", "made")
)


def test_the_page_is_what_the_committed_results_say():
    page = PAGE.read_text("utf-8")
    assert filled(page, blocks(results(COMMITTED))) == page, "run `make docs`"


def test_the_picture_shows_the_committed_results():
    """Each bar's label and value is in it, in the words that it has for those who cannot see it."""
    told = " ".join(one.get("aria-label", "") for one in ET.parse(PICTURE).iter())
    for bar in bars(results(COMMITTED)):
        assert f"label: {bar.label}" in told
    # How a value is written belongs to the drawing program.
    drawn = [float(value) for value in re.findall(r"the mark is the goal: ([\d.e+-]+); label", told)]
    shown = [bar.gain for bar in bars(results(COMMITTED))]
    assert drawn == pytest.approx(shown, rel=1e-4)


def test_committed_results_are_of_benchmarks_that_there_are():
    assert set(results(COMMITTED)) <= {one.name for one in benchmarks()}


def test_a_line_has_the_ratio_first_and_then_the_figures():
    row = below(Row("overhead", 28.13, "ms", "the broker alone", 1.62, 17.4), 50)
    assert (
        "| overhead | 17.4 | the broker alone | < 50 ms: met | 28.1 ms | 1.62 ms |"
        in blocks({"made": a_result(row)})["made"]
    )


def test_what_was_measured_when_and_under_which_load_is_told():
    told = blocks({"made": a_result(speed(2.0))})
    assert "Made up: 12 s on 2026-01-02, load 0.5 before and 1.5 after, commit 0123456789ab." in told["made"]
    assert told["machine"] == "Measured on A processor, 2 cores, 8 GiB, Linux 6; python 3.11.2, numpy 2.4.0."


def test_two_machines_are_told_apart():
    other = replace(a_result(benchmark="other"), machine={**a_result().machine, "processor": "Another"})
    told = blocks({"made": a_result(), "other": other})["machine"]
    assert "- made: A processor" in told
    assert "- other: Another" in told


def test_missed_goals_are_named():
    missed = compared("sum", 5, "GB/s", baseline="numpy", baseline_value=10, at_least=1)
    told = blocks({"made": a_result(missed, below(time(1.0), 9.0))})["goals"]
    assert told == "1 of 2 goals are met; missed are:\n\n- made: sum: ratio 0.5 to numpy, the goal is ratio >= 1"


def test_what_stands_between_markers_is_replaced_and_the_rest_stays():
    page = filled("before\n" + PAGE_OF_ONE + "after\n", blocks({"made": a_result(speed(2.0))}))
    assert "old" not in page
    assert page.startswith("before\n<!-- goals: generated -->\n\n0 of 0")
    assert page.endswith("<!-- made: end -->\nafter\n")


def test_results_without_a_place_are_named():
    with pytest.raises(ValueError, match=r"no place for \['other'\]"):
        filled(PAGE_OF_ONE, blocks({"made": a_result(), "other": a_result(benchmark="other")}))


def test_a_place_without_results_is_named():
    with pytest.raises(ValueError, match=r"no results for \['made'\]"):
        filled(PAGE_OF_ONE, blocks({}))


def test_a_marker_without_an_end_is_named():
    with pytest.raises(ValueError, match="needs one line `<!-- made: end -->`"):
        filled(PAGE_OF_ONE.replace("<!-- made: end -->\n", ""), blocks({"made": a_result()}))


def test_the_picture_has_what_stands_worst_to_its_goal(tmp_path):
    rows = [compared(f"m{n}", n, "GB/s", baseline="b", baseline_value=4, at_least=0.5) for n in range(1, 8)]
    shown = bars({"made": a_result(*reversed(rows), speed(0.01))})
    assert [(bar.label, bar.state) for bar in shown] == [
        ("m1 / b", "goal missed"), ("m2 / b", "goal met"), ("m3 / b", "goal met"), ("m4 / b", "goal met")
    ]  # fmt: skip
    assert {bar.goal for bar in shown} == {0.5}
    draw({"made": a_result(*rows)}, tmp_path / "x.svg")
    assert ET.parse(tmp_path / "x.svg").getroot().tag.endswith("svg")


def test_without_goals_it_has_the_first_ones_and_of_times_the_gain():
    shown = bars({"made": a_result(time(4.0), speed(2.0))})
    assert [(bar.label, bar.gain, bar.state) for bar in shown] == [
        ("start / python", 0.25, "no goal"), ("sum / numpy", 2.0, "no goal")
    ]  # fmt: skip
