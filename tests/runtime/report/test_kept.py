"""The page beside a result: it is there with it, goes with it, and can be made of it later."""

import json
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from tests.runtime.report.logs import written_run
from tierwise.core.errors import StoreError
from tierwise.core.ids import BlobHash
from tierwise.runtime.cli.keeping import keep
from tierwise.runtime.cli.program import run as tierwise
from tierwise.runtime.output import load_result, make_report, write_result
from tierwise.runtime.report.making import make_page

RUN = replace(written_run(rounds=2, abandoned=2), targets={BlobHash("0" * 64): b"a model"})
REPORT = make_report(RUN, configuration={"name": "here"})


def test_a_result_has_its_page(tmp_path) -> None:
    report, remark = keep(tmp_path, RUN, REPORT)
    assert remark == ""
    assert "report.html" in report.files
    assert json.loads((tmp_path / "result.json").read_bytes())["files"] == list(report.files)


def test_a_result_is_read_as_it_was_written(tmp_path) -> None:
    report = write_result(tmp_path, RUN, REPORT)
    run, told = load_result(tmp_path)
    assert (run.records, run.state) == (RUN.records, RUN.state)
    assert told == report


def test_a_page_made_afterwards_is_the_same(tmp_path, capsys) -> None:
    keep(tmp_path, RUN, REPORT)
    first = (tmp_path / "report.html").read_bytes()
    (tmp_path / "report.html").unlink()
    assert tierwise(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"written: {tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_bytes() == first


def test_an_earlier_page_goes_with_its_result(tmp_path, monkeypatch) -> None:
    write_result(tmp_path, RUN, REPORT)
    assert tierwise(["report", str(tmp_path)]) == 0
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    report, remark = keep(tmp_path, RUN, REPORT)
    assert remark == "report.html needs vl_convert, which pip install 'tierwise[report]' brings"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*report.files, "result.json"])
    assert "report.html" not in report.files


def test_the_code_that_draws_is_put_together_once_for_all_pages(monkeypatch) -> None:
    asked = []
    converter = ModuleType("vl_convert")
    monkeypatch.setattr(converter, "javascript_bundle", lambda *given: asked.append(given) or "draws()", raising=False)
    monkeypatch.setitem(sys.modules, "vl_convert", converter)
    first, second = (make_page(RUN, REPORT).page for _ in range(2))
    assert first == second
    assert b"draws()" in first
    assert len(asked) == 1


def test_who_interrupts_does_not_wait_for_a_page(tmp_path) -> None:
    report, remark = keep(tmp_path, RUN, make_report(RUN, interrupted=True))
    assert not (tmp_path / "report.html").exists()
    assert "report.html" not in report.files
    assert remark.endswith(f"`tierwise report {tmp_path}` makes it")


@pytest.mark.parametrize("content", [None, "{}", '{"format": "other"}'])
def test_what_is_no_result_has_no_page(tmp_path, capsys, content) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    assert tierwise(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: there is no result.json of tierwise: name the DIR of --out\n"
    )


def test_a_damaged_result_is_told(tmp_path) -> None:
    write_result(tmp_path, RUN, REPORT)
    path = tmp_path / "result.json"
    path.write_text(path.read_text().replace('"device-enrolled"', '"device-enroled"', 1))
    with pytest.raises(StoreError, match=r"result.json is not what tierwise .* writes: Invalid value 'device-enroled'"):
        load_result(tmp_path)


@pytest.mark.parametrize("place", [0, 1000, -3])
def test_a_result_that_was_cut_short_is_not_taken_for_none(tmp_path, capsys, place) -> None:
    write_result(tmp_path, RUN, REPORT)
    path = tmp_path / "result.json"
    path.write_bytes(path.read_bytes()[:place])
    assert tierwise(["report", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path} is damaged, it is no whole JSON document: put back")


def test_without_altair_the_command_says_how_to_get_it(tmp_path, capsys, monkeypatch) -> None:
    write_result(tmp_path, RUN, REPORT)
    monkeypatch.setitem(sys.modules, "altair", None)
    assert tierwise(["report", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: report.html needs altair, which pip install 'tierwise[report]' brings\n"
