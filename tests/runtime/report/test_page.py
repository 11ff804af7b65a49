"""The page: one file, made of what the run says, that nothing in a run can break out of."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest
import vl_convert

from tests.runtime import helpers
from tests.runtime.report.logs import HOSTILE, written_run
from tierwise.core import events as e
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.task import Loss, Task
from tierwise.runtime.figures import Run
from tierwise.runtime.output import make_report
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.report import making
from tierwise.runtime.report.fleet_chart import fleet_chart
from tierwise.runtime.report.making import make_page
from tierwise.runtime.report.markup import MOST_ROWS, table
from tierwise.runtime.report.page import build_page
from tierwise.runtime.report.rounds_chart import rounds_chart
from tierwise.runtime.report.rows import DeviceRow, RoundEnd, RoundRow, read_rows
from tierwise.runtime.simulation.run import simulate

VOID = {"meta", "img", "br", "link"}


class Read(HTMLParser):
    """Checks that elements are closed in order, and collects what is in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def page(run: Run, **more: object) -> str:
    return build_page(run, make_report(run, **more), "window.vegaEmbed = null; '</script>'")


@pytest.mark.parametrize(
    "run",
    [written_run(abandoned=2), written_run(ended=False), written_run(groups=3, devices=60, rounds=1), Run.replayed([])],
    ids=["abandoned", "cut", "three", "empty"],
)
def test_a_page_is_whole_html_and_every_id_is_there_once(run: Run) -> None:
    read = Read(page(run))
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        for name in ("aria-labelledby", "aria-describedby", "data-spec"):
            assert attributes.get(name) is None or attributes[name] in ids


def test_nothing_in_a_run_gets_out_of_its_place() -> None:
    run = written_run(abandoned=1)
    text = page(run, configuration={"note": HOSTILE})
    assert "<img" not in text
    assert [tag for tag, _ in Read(text).tags].count("script") == 3 + 2
    assert "it said &lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; &amp; went" in text


def test_a_log_cut_anywhere_has_a_page() -> None:
    run = written_run(rounds=1, abandoned=1)
    for length in range(len(run.records)):
        cut = Run.replayed(run.records[:length])
        assert "had not ended" in page(cut)


def test_the_page_documents_the_run() -> None:
    run = written_run(rounds=4, abandoned=2)
    text = page(run, configuration={"rounds": {"deadline_s": 12.5}})
    report = make_report(run)
    for told in (
        "Seed 7",
        "&quot;deadline_s&quot;: 12.5",
        report.versions.numpy,
        "4 rounds",
        "tier-g1",
        "its owner took it",
    ):
        assert told in text, told
    specs = [json.loads(one) for one in Read(text).scripts if one.startswith("{")]
    assert len(specs) == 3
    assert [
        re.search(r"\((GFLOP/s|s|min|h|ms)\)", one) is not None for one in re.findall(r"<figcaption[^>]*>(.*)<", text)
    ] == [True] * 3, "every chart's title has its units"


def test_a_regression_is_said_to_predict_a_number() -> None:
    task = Task(name="widths", features=5, loss=Loss.SQUARED_ERROR)
    settings = msgspec.structs.replace(helpers.settings(3), name="mine", task=task)
    run = Run.replayed([e.Record(sequence=0, at=0.0, event=e.FederationOpened(settings=settings))])
    text = page(run)
    assert "learned widths (5 features, a number to predict)" in text
    assert "<h1>mine: widths, 0 devices</h1>" in text


def test_why_groups_failed_stands_there_once() -> None:
    records = list(written_run(rounds=1).records)
    for place, record in enumerate(records):
        if isinstance(record.event, e.GroupFinished):
            event = msgspec.structs.replace(record.event, reason=HOSTILE, failed=True)
            records[place] = msgspec.structs.replace(record, event=event)
    text = page(Run.replayed(records))
    assert "Groups g1, g2 failed: it said" in text
    assert text.count("failed: see above") == 2
    failed = e.FederationFailed(reason=f"no group has a target model: g1: {HOSTILE}")
    records[-1] = msgspec.structs.replace(records[-1], event=failed)
    text = page(Run.replayed(records))
    assert "The federation failed: no group" in text
    assert "Groups g1, g2 failed" not in text


def test_the_test_sets_figures_have_a_chart_and_a_table() -> None:
    task = helpers.TASK
    test = helpers.specs()[next(iter(helpers.specs()))].data.holdout
    run = Run.of(
        simulate(
            helpers.settings(),
            helpers.specs(),
            policies=helpers.policies(),
            plugins=helpers.plugins(),
            own=OwnData(test=test),
        )
    )
    rows = read_rows(run, run.figures)
    assert task.metrics[0] == rows.metric
    assert [(row.series, row.version) for row in rows.tests] == [(g, v) for g in rows.groups for v in (1, 2)]
    for row in rows.tests:
        one = run.state.groups[row.series].history[row.version - 1]
        assert row.at_s == one.closed_at
        assert row.samples == len(test)
    text = page(run)
    assert "Accuracy on the test set over time" in text
    assert "Accuracy of each model on the test set" in text
    assert "test set over time" not in page(written_run())


def test_devices_with_the_same_hardware_are_counted_and_no_group_hides_another() -> None:
    alike = [DeviceRow(DeviceId(f"d{n}"), GroupId(f"g{1 + n // 4}"), 1e9, 2.0**30, 1e6) for n in range(8)]
    chart = fleet_chart([*alike, DeviceRow(DeviceId("d9"), None, 9e9, 2.0**31, 1e6)], [GroupId("g1"), GroupId("g2")])
    assert "9 devices are at 2 places" in chart.note
    assert "side by side" in chart.note
    drawn = next(iter(chart.spec["datasets"].values()))
    assert [spot["count"] for spot in drawn] == [1, 4, 4]
    assert drawn[1]["compute"] < 1 < drawn[2]["compute"] < 1.2
    others = fleet_chart([DeviceRow(DeviceId(f"d{n}"), None, 1e9 * (n + 1), 2.0**n, 1e6) for n in range(3)], [])
    assert others.note == ""
    assert [spot["compute"] for spot in next(iter(others.spec["datasets"].values()))] == [1, 2, 3]


def test_both_ends_of_a_time_have_their_unit() -> None:
    run = written_run(groups=1)
    rows = read_rows(run, run.figures)
    assert re.search(r"from \S+ (\S+) to \S+ \1\.", rounds_chart(rows.rounds, rows.groups).description)


def test_numbers_have_three_digits() -> None:
    row = RoundRow(GroupId("g1"), 1, 1, 3.2164e-6, 1.2345, RoundEnd.CLOSED, 3, 3)
    told = rounds_chart([row, dataclasses.replace(row, first=2, last=2, ended_s=1.5)], [GroupId("g1")]).description
    assert told.endswith("from 0.00322 ms to 1,500 ms.")
    alike = [DeviceRow(DeviceId(f"d{n}"), None, 1.23456789e9, 23.5401687622 * 2**30, 1e6) for n in range(3)]
    drawn = vl_convert.vegalite_to_svg(fleet_chart(alike, []).spec | {"width": 400})
    assert {"1.23", "23.5"} <= set(re.findall(r">([^<]+)</text>", drawn))
    many = [DeviceRow(DeviceId(f"d{n}"), None, 10.0**n * 1e9, 2.0**30 * 10.0**-n, 1e6) for n in range(5)]
    drawn = vl_convert.vegalite_to_svg(fleet_chart(many, []).spec | {"width": 400})
    assert {"1", "10", "1000", "0.1", "0.001"} <= set(re.findall(r">([^<]+)</text>", drawn))


def test_a_long_table_says_what_it_leaves_out() -> None:
    rows = [(f"r{n}", "x") for n in range(MOST_ROWS + 1)]
    text = table("Rows", ("row", "cell"), rows)
    assert text.count("<tr>") == 1 + MOST_ROWS
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 1} rows; all are in result.json." in text
    assert "The first" not in table("Rows", ("row", "cell"), rows[:-1])


def test_without_altair_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    run = written_run()
    made = make_page(run, make_report(run))
    assert made.page is None
    assert made.remark == "report.html needs altair, which pip install 'tierwise[report]' brings"


def test_without_altair_nothing_more_is_drawn_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration's own section has a chart: asked for it, a run would end without its results."""
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    run = written_run()
    made = make_page(run, make_report(run), lambda: pytest.fail("a section was asked for"))
    assert (made.page, "altair" in made.remark) == (None, True)


def test_whatever_goes_wrong_with_a_page_is_only_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(making, "build_page", fail)
    run = written_run()
    made = make_page(run, make_report(run))
    assert (made.page, made.remark) == (None, "report.html could not be made: ZeroDivisionError: here")
