"""A benchmark is run as a process of its own; what comes of it is told, whatever it is."""

import textwrap

import psutil
import pytest
import run as command
from registry import Benchmark
from running import run

PASSING = """
from report import Row, arguments, report
options = arguments("Nothing.").parse_args()
report("Nothing" + " quickly" * options.quick, [Row("time", 3.0, "s", goal="< 2 s", met=False)], options.json)
"""


@pytest.fixture
def script(tmp_path):
    def write(text: str, name: str = "nothing") -> Benchmark:
        # It imports `report` as its neighbours do.
        head = f"import sys; sys.path.insert(0, {str(command.__file__.rpartition('/')[0])!r})\n"
        path = tmp_path / f"{name}.py"
        path.write_text(head + textwrap.dedent(text))
        return Benchmark(path, limit_s=60.0)

    return write


def test_a_result_says_what_was_measured_and_where(script):
    found = run(script(PASSING)).result
    assert found is not None
    assert (found.benchmark, found.title) == ("nothing", "Nothing")
    assert [(row.metric, row.value, row.met) for row in found.rows] == [("time", 3.0, False)]
    assert found.seconds > 0
    assert set(found.machine) == {"processor", "cores", "memory", "system"}
    assert "numpy" in found.versions


def test_quick_is_handed_on(script):
    found = run(script(PASSING), quick=True).result
    assert found is not None
    assert found.title == "Nothing quickly"


def test_what_a_failed_script_wrote_is_told(script):
    failure = run(script("raise RuntimeError('no such kernel')")).failure
    assert failure is not None
    assert "exit code 1" in failure
    assert "no such kernel" in failure


def test_a_script_that_ends_without_rows_has_failed(script):
    assert run(script("")).failure is not None


def test_what_is_missing_here_is_skipped(script):
    found = run(script("from report import skip; skip('no broker')"))
    assert (found.skipped, found.failure, found.result) == ("no broker", None, None)


def test_what_takes_too_long_ends_with_what_it_has_started(script, tmp_path):
    slow = script(f"""
        import pathlib, subprocess, time
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
        time.sleep(600)
    """)
    found = run(Benchmark(slow.script, limit_s=2.0))
    assert found.failure == "not done after 2 s"
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_one_that_fails_does_not_keep_back_the_others(script, tmp_path, monkeypatch, capsys):
    three = [script("raise SystemExit('broken')", "a"), script("from report import skip; skip('lacks it')", "b")]
    three.append(script(PASSING, "c"))
    monkeypatch.setattr(command, "benchmarks", lambda: three)
    monkeypatch.setattr("sys.argv", ["run.py", "--out", str(tmp_path / "out")])
    assert command.main() == 1
    out, err = capsys.readouterr()
    assert "[3/3] c … " in out
    assert "0 of 1 goals met" in out
    assert "goal missed: c: time: < 2 s" in out
    assert "skipped: b: lacks it" in out
    assert "FAILED: a: exit code 1\nbroken" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.json"]


def test_all_is_well_where_one_is_skipped(script, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "benchmarks", lambda: [script("from report import skip; skip('lacks it')")])
    monkeypatch.setattr("sys.argv", ["run.py", "--out", str(tmp_path / "out")])
    assert command.main() == 0


def test_an_unknown_benchmark_is_named(monkeypatch):
    monkeypatch.setattr("sys.argv", ["run.py", "avarage", "--out", "x"])
    with pytest.raises(SystemExit, match="there is no benchmark 'avarage', only agent_footprint, average"):
        command.main()


def test_quick_figures_do_not_go_into_the_page(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "--quick"])
    with pytest.raises(SystemExit):
        command.main()
    assert "say where its results go with --out DIR" in capsys.readouterr().err
