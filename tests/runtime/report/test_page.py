"""The page: one file, made of what the run says, that nothing in a run can break out of."""

import json
import re
from html.parser import HTMLParser

import pytest

from tests.runtime.report.logs import HOSTILE, written_run
from tierwise.runtime.figures import Run
from tierwise.runtime.output import make_report
from tierwise.runtime.report import making
from tierwise.runtime.report.making import make_page
from tierwise.runtime.report.markup import MOST_ROWS, table
from tierwise.runtime.report.page import build_page

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


def test_whatever_goes_wrong_with_a_page_is_only_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(making, "build_page", fail)
    run = written_run()
    made = make_page(run, make_report(run))
    assert (made.page, made.remark) == (None, "report.html could not be made: ZeroDivisionError: here")
