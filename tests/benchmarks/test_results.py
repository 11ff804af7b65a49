"""Results are kept as JSON, one file for each benchmark, and read again as they were."""

import pytest
from results import Result, results

from tests.benchmarks.making import a_result, speed, time


def test_what_is_saved_is_read_again(tmp_path):
    saved = a_result(speed(2.0), time(0.5))
    saved.save(tmp_path / "new")
    assert results(tmp_path / "new") == {"made": saved}


def test_a_file_with_something_else_is_named(tmp_path):
    (tmp_path / "odd.json").write_text('{"benchmark": "odd"}')
    with pytest.raises(ValueError, match=r"odd\.json has no results of `make bench`"):
        results(tmp_path)


def test_a_file_under_another_name_is_named(tmp_path):
    a_result().save(tmp_path)
    (tmp_path / "made.json").rename(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"other\.json has the results of 'made'"):
        results(tmp_path)
    assert Result.load(tmp_path / "other.json") == a_result()
