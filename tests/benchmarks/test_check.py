"""Fresh results are compared with earlier ones; what has fallen is measured again before it is named."""

from pathlib import Path

import check
import pytest
from registry import Benchmark
from running import Outcome

from tests.benchmarks.making import a_result, speed


@pytest.fixture
def earlier(tmp_path):
    folder = tmp_path / "earlier"
    a_result(speed(2.0)).save(folder)
    return folder


@pytest.fixture
def measuring(monkeypatch):
    """Let the benchmark `made` give these ratios, one after the other; return how often it has run."""

    def give(*ratios: float) -> list[str]:
        left, ran = list(ratios), []

        def run(benchmark, *, quick):
            ran.append(benchmark.name)
            return Outcome("made", a_result(speed(left.pop(0))))

        monkeypatch.setattr(check, "run", run)
        monkeypatch.setattr(check, "benchmarks", lambda: [Benchmark(Path("made.py"))])
        return ran

    return give


def checked(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["check.py", *map(str, arguments)])
    return check.main()


def test_what_is_as_good_as_before_runs_once(earlier, measuring, monkeypatch, capsys):
    ran = measuring(1.9)
    assert checked(monkeypatch, "--earlier", earlier) == 0
    assert ran == ["made"]
    assert "0 of 1 ratios fell" in capsys.readouterr().out


def test_what_has_fallen_three_times_is_named_with_how_much(earlier, measuring, monkeypatch, capsys):
    ran = measuring(1.0, 1.2, 1.1)
    assert checked(monkeypatch, "--earlier", earlier) == 1
    assert ran == ["made"] * 3
    assert "fell: made: sum, beside numpy: 45% worse (ratio 2 before, 1.1 now)" in capsys.readouterr().out


def test_what_has_fallen_once_and_then_not_was_noise(earlier, measuring, monkeypatch):
    ran = measuring(1.0, 2.0, 1.9)
    assert checked(monkeypatch, "--earlier", earlier) == 0
    assert ran == ["made"] * 3


def test_a_benchmark_that_fails_is_no_success_though_another_is_as_good_as_before(earlier, monkeypatch, capsys):
    a_result(speed(2.0), benchmark="other").save(earlier)
    found = {"made": Outcome("made", failure="exit code 1")}
    found["other"] = Outcome("other", a_result(speed(2.0), benchmark="other"))
    monkeypatch.setattr(check, "benchmarks", lambda: [Benchmark(Path(f"{name}.py")) for name in found])
    monkeypatch.setattr(check, "run", lambda one, quick: found[one.name])
    assert checked(monkeypatch, "--earlier", earlier) == 1
    out, err = capsys.readouterr()
    assert "FAILED: made: exit code 1" in err
    assert "0 of 1 ratios fell" in out


def test_given_results_are_compared_without_a_run(earlier, measuring, monkeypatch, tmp_path):
    ran = measuring()
    for name, ratio, code in (("good", 1.9, 0), ("bad", 1.0, 1)):
        a_result(speed(ratio)).save(tmp_path / name)
        assert checked(monkeypatch, "--earlier", earlier, "--results", tmp_path / name) == code
    assert ran == []


def test_nothing_compared_is_no_success(earlier, monkeypatch, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert checked(monkeypatch, "--earlier", earlier, "--results", tmp_path / "empty") == 1
    assert "nothing was compared" in capsys.readouterr().err


def test_a_benchmark_without_earlier_results_is_named(earlier, monkeypatch):
    with pytest.raises(SystemExit, match="has no results of other, only of made"):
        checked(monkeypatch, "--earlier", earlier, "other")
