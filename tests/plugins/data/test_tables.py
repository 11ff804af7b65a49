"""Tables in CSV and Parquet files: what becomes of them, and what is said of what cannot be used."""

import contextlib
import datetime as dt
import gzip
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import LocalData
from tierwise.core.task import Loss
from tierwise.plugins import Plugins
from tierwise.plugins.data._pooled import PooledSource
from tierwise.plugins.testing import check_data_source

PLUGINS = Plugins.discover()
ROWS = 30
PINNED = {"features": ["heat", "level", "open"], "classes": ["off", "on"]}


def table(seed: int = 0, rows: int = ROWS) -> pl.DataFrame:
    """Make a device's table: a float, an integer, a truth value, a text, and the target."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "heat": random.normal(size=rows).round(3),
            "level": random.integers(0, 5, rows),
            "open": random.random(rows) < 0.5,
            "room": random.choice(["north", "south"], rows),
            "label": random.permutation(["off", "on"] * (rows // 2)),
        }
    )


def write(file: Path, frame: pl.DataFrame) -> Path:
    frame.write_csv(file) if file.suffix == ".csv" else frame.write_parquet(file)
    return file


def fleet(folder: Path, ending: str) -> str:
    """Write three devices' tables, each with its columns in another order."""
    for seed, name in enumerate(("kitchen", "cellar", "attic")):
        frame = table(seed)
        write(folder / f"{name}.{ending}", frame.select(frame.columns[seed:] + frame.columns[:seed]))
    return str(folder / f"*.{ending}")


def source(path: Path | str, ending: str = "csv", **options: object) -> PooledSource:
    made = PLUGINS.data_source(ending, {"path": str(path), "target": "label", **options})
    assert isinstance(made, PooledSource)
    return made


def everything(local: LocalData) -> list[tuple[float, ...]]:
    """Return the samples, sorted: features, then the label."""
    both = [np.column_stack((half.features, half.labels)) for half in (local.train, local.holdout)]
    return sorted(map(tuple, np.concatenate(both).round(3).tolist()))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("partition", ["own", "column", "iid", "dirichlet", "shards", "quantity"])
def test_conformance(tmp_path: Path, ending: str, partition: str) -> None:
    path = fleet(tmp_path, ending)
    more: dict = {} if partition == "own" else {"reserved": 15}
    more |= {"by": "room"} if partition == "column" else {"one_hot": {"room": ["north", "south"]}}
    check_data_source(source(path, ending, partition=partition, **more))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_each_file_is_a_device_and_the_order_of_its_columns_does_not_matter(tmp_path: Path, ending: str) -> None:
    made = source(fleet(tmp_path, ending), ending, **PINNED)
    assert made.devices() == ("attic", "cellar", "kitchen")
    for part, seed in ((2, 0), (1, 1), (0, 2)):
        there = table(seed).select(
            "heat", "level", pl.col("open").cast(pl.Float64), pl.col("label").eq("on").cast(pl.Float64)
        )
        got = everything(made.load(part, 3, 0))
        np.testing.assert_allclose(got, sorted(there.rows()), atol=1e-3)
    assert len(made.load(0, 1, 0).train) + len(made.load(0, 1, 0).holdout) == 3 * ROWS


def test_csv_and_parquet_give_the_same_task_and_samples(tmp_path: Path) -> None:
    one_hot = {"room": ["north", "south"]}
    write(tmp_path / "a.csv", table())
    write(tmp_path / "a.parquet", table())
    csv, parquet = (source(tmp_path / f"a.{ending}", ending, one_hot=one_hot) for ending in ("csv", "parquet"))
    assert csv.task.feature_names == ("heat", "level", "open", "room=north", "room=south")
    assert csv.task.schema_hash == parquet.task.schema_hash
    assert everything(csv.load(0, 1, 3)) == everything(parquet.load(0, 1, 3))


def test_a_column_may_say_whose_a_row_is(tmp_path: Path) -> None:
    frame = table().with_columns(user=pl.Series([1, 1, 12, 2, 2] * 6))
    made = source(write(tmp_path / "all.csv", frame), partition="column", by="user", **PINNED)
    assert made.devices() == ("1", "2", "12")
    assert [len(everything(made.load(part, 3, 0))) for part in range(3)] == [12, 12, 6]
    derived = source(tmp_path / "all.csv", partition="column", by="user", one_hot={"room": ["north", "south"]})
    assert "user" not in derived.task.feature_names


def test_the_task_needs_no_file_once_it_is_written_down(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", table().drop("room"))
    made = source(tmp_path / "a.csv")
    assert made.pins() == PINNED
    assert source("nowhere.csv", **made.pins()).task.schema_hash == made.task.schema_hash
    assert source("nowhere.csv", name="valves", **PINNED).task.name == "valves"
    regression = source("nowhere.csv", features=["heat"], task="regression")
    assert (regression.task.loss, regression.task.target) == (Loss.SQUARED_ERROR, "label")


def test_a_regression_predicts_a_column_of_numbers(tmp_path: Path) -> None:
    frame = table().drop("room").rename({"heat": "warmth"})
    file = write(tmp_path / "a.csv", frame)
    made = source(file, target="warmth", features=["level", "open"], task="regression")
    local = made.load(0, 1, 0)
    assert local.train.labels.dtype == np.float32
    assert sorted(np.concatenate([local.train.labels, local.holdout.labels])) == sorted(
        frame["warmth"].cast(pl.Float32)
    )
    assert made.pins() == {"features": ["level", "open"]}
    with pytest.raises(
        ConfigurationError, match=r"a.csv, line \d+: target 'label' is 'o\w+', and a regression predicts"
    ):
        source(file, task="regression").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"target 'warmth' has -?\d.\d+ in .*: write task = 'regression', or"):
        source(file, target="warmth", features=["level"]).task  # noqa: B018


def test_columns_are_described_whether_they_can_be_used_or_not(tmp_path: Path) -> None:
    frame = table().with_columns(when=pl.Series([dt.date(2024, 1, 1)] * ROWS))
    frame = frame.with_columns(heat=pl.when(pl.arange(0, ROWS) == 3).then(None).otherwise(pl.col("heat")))
    for ending, kinds in (
        ("csv", ["number", "number", "number", "text", "text", "text"]),
        ("parquet", ["float64", "int64", "boolean", "text", "text", "date"]),
    ):
        columns = source(write(tmp_path / f"a.{ending}", frame), ending).columns()
        assert [column.dtype for column in columns] == kinds
        assert [column.role for column in columns] == ["feature"] * 4 + ["target", "feature"]
        assert columns[0].missing == 1
        assert (columns[1].least, columns[1].greatest) == (0.0, 4.0)


def cell(folder: Path, line: int, **changed: str) -> Path:
    """Write a table as texts, with some cells of a line changed."""
    frame = table().drop("room").cast(pl.String)
    rows = [dict(row) for row in frame.iter_rows(named=True)]
    rows[line - 2] |= changed
    return write(folder / "a.csv", pl.DataFrame(rows))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"level": "hgih"}, "column 'level' is 'hgih', and a feature is a number: correct it, or leave the column out"),
        ({"level": ""}, "column 'level' has no value; 1 of 30 rows lack one: fill it in, or leave such rows out with"),
        ({"level": "NaN"}, "column 'level' has no value"),
        ({"label": ""}, "column 'label' has no value"),
        ({"level": "1e39"}, "column 'level' is 1e+39, and only finite numbers up to 3.4e38 are allowed"),
        ({"level": "inf"}, "column 'level' is inf, and only finite numbers"),
        (
            {"label": "onn"},
            "target 'label' is 'onn' (did you mean 'on'?), which is none of the classes off, on: correct",
        ),
    ],
)
def test_a_fault_names_the_line_the_column_and_the_value(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        source(cell(tmp_path, 7, **changed), **PINNED).load(0, 1, 0)
    assert str(caught.value).startswith(f"{tmp_path / 'a.csv'}, line 7: {message}")


def test_rows_without_a_value_can_be_left_out(tmp_path: Path) -> None:
    made = source(cell(tmp_path, 7, level=" "), missing="drop", **PINNED)
    assert len(everything(made.load(0, 1, 0))) == ROWS - 1
    # The rows below the one that was left out keep their numbers.
    rows = pl.read_csv(cell(tmp_path, 7, level=""), infer_schema=False).to_dicts()
    rows[7]["label"] = "never"
    made = source(write(tmp_path / "a.csv", pl.DataFrame(rows)), missing="drop", **PINNED)
    with pytest.raises(ConfigurationError, match=r"a.csv, line 9: target 'label' is 'never', which is none"):
        made.load(0, 1, 0)


def test_lines_are_those_of_the_file_whatever_is_in_its_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('heat,note,label\n1,"two\nlines",on\n\n2,,off\nx,,on\n')
    with pytest.raises(ConfigurationError, match=r"a.csv, line 6: column 'heat' is 'x'"):
        source(tmp_path / "a.csv", features=["heat"]).load(0, 1, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv is empty; a CSV file begins with a line of column names"),
        ("heat,label\n", "a.csv has no rows below its header: fill it, or take it away"),
        ("heat,label\n1,on\n2,off,3\n", "cannot be read as CSV: line 3 has 3 cells, the header has 2 columns"),
        ("heat;label\n1;on\n", "a.csv has one column only, 'heat;label': write separator = ';'"),
        ("heat,heat,label\n1,2,on\n", "a.csv has two columns 'heat': rename one"),
        ("heat, heat,label\n1,2,on\n", "a.csv has two columns 'heat': rename one"),
        (", ,label\n1,2,on\n", "a.csv has two columns '': rename one"),
        ("heat,lable\n1,on\n", "a.csv has no column 'label' (did you mean 'lable'?), which is the target; its"),
        ("label\non\n", "a.csv has no column beside the target 'label'"),
        ("heat,label\n1,on\n2,on\n", "target 'label' has only the class 'on' in"),
        ("heat,label\n,on\n,off\n", "column 'heat' has no value; 2 of 2 rows"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_of_the_task(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        source(tmp_path / "a.csv").load(0, 1, 0)


def test_other_encodings_and_formats_are_refused_and_other_ways_to_write_it_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("heat,läbel\n1,ön\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="it is no text in UTF-8; save it as that"):
        source(tmp_path / "a.csv").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"a.csv cannot be read as Parquet: "):
        source(tmp_path / "a.csv", "parquet").load(0, 1, 0)
    text = "\ufeffheat; label\r\n1,5; on\r\n2; off\r\n3; on\r\n4; off\r\n5; on\r\n".replace("1,5", "1.5")
    (tmp_path / "b.csv").write_text(text, newline="")
    with gzip.open(tmp_path / "c.csv.gz", "wt") as file:
        file.write(text.replace("\ufeff", ""))
    for name, device in (("b.csv", "b"), ("c.csv.gz", "c")):
        made = source(tmp_path / name, separator=";")
        assert everything(made.load(0, 1, 0)) == [(1.5, 1), (2, 0), (3, 1), (4, 0), (5, 1)]
        assert made.devices() == (device,)


def test_a_column_that_only_some_files_have(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", table().drop("room"))
    write(tmp_path / "b.csv", table().drop("room").with_columns(draught=1.0))
    with pytest.raises(ConfigurationError, match=r"b.csv has a column 'draught', which the first file has not"):
        source(tmp_path / "*.csv").task  # noqa: B018
    assert source(tmp_path / "*.csv", features=["heat"]).devices() == ("a", "b")
    write(tmp_path / "b.csv", table().drop("room", "open"))
    with pytest.raises(ConfigurationError, match=r"b.csv has no column 'open', which is a feature"):
        source(tmp_path / "*.csv").task  # noqa: B018


def test_texts_are_encoded_by_the_categories_that_are_given(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", table())
    with pytest.raises(ConfigurationError) as caught:
        source(file).task  # noqa: B018
    (line,) = re.findall(r"one_hot = (\{.*\}), or leave it out", str(caught.value))
    assert line == '{ "room" = ["north", "south"] }'
    with pytest.raises(
        ConfigurationError, match=r"a.csv, line \d+: column 'room' is 'south' .*which is none of the cat"
    ):
        source(file, one_hot={"room": ["north"]}).task  # noqa: B018
    encoded = (
        source(file, features=["room"], one_hot={"room": ["attic", "north", "south"]}).load(0, 1, 0).train.features
    )
    assert encoded[:, 0].max() == 0
    assert (encoded.sum(axis=1) == 1).all()


def test_dates_are_no_numbers(tmp_path: Path) -> None:
    frame = table().drop("room").with_columns(when=pl.Series([dt.date(2024, 1, 1)] * ROWS))
    with pytest.raises(
        ConfigurationError, match=r"'when' is of type Date, and .*: turn it into a number, such as days"
    ):
        source(write(tmp_path / "a.parquet", frame), "parquet").task  # noqa: B018


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "column"}, "partition = 'column' and by, which names the column, go together"),
        ({"features": ["heat", "heat"]}, "features has 'heat' twice"),
        ({"features": ["label"]}, "'label' is target, and cannot be a feature too"),
        ({"features": ["heat"], "one_hot": {"room": ["north"]}}, "one_hot has 'room', which is not among the features"),
        ({"separator": ";;"}, "option 'separator' of data source 'csv' is ';;'"),
    ],
)
def test_options_that_do_not_go_together(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        source("a.csv", **options)


def test_files_whose_names_are_no_devices(tmp_path: Path) -> None:
    write(tmp_path / "the kitchen.csv", table())
    made = source(tmp_path / "*.csv", **PINNED)
    assert len(everything(made.load(0, 1, 0))) == ROWS  # a device of its own may call its file what it likes
    with pytest.raises(ConfigurationError, match=r"names a device 'the kitchen' after a file, and .*: rename it"):
        made.devices()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.csv", table())
    with pytest.raises(ConfigurationError, match="has 2 files named 'a': rename them"):
        source(tmp_path / "*/a.csv", **PINNED).devices()


def test_a_device_with_too_little_is_named(tmp_path: Path) -> None:
    fleet(tmp_path, "csv")
    write(tmp_path / "shed.csv", table(rows=4))
    with pytest.raises(ConfigurationError, match=r"has fewer than 5 samples \(option minimum\) of shed: leave out who"):
        source(tmp_path / "*.csv", **PINNED).load(0, 4, 0)
    assert len(everything(source(tmp_path / "*.csv", minimum=4, **PINNED).load(3, 4, 0))) == 4


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.lists(st.tuples(NUMBERS, st.integers(-(2**24), 2**24), st.booleans()), min_size=5, max_size=20))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    file = tmp_path_factory.mktemp("table") / "a.csv"
    frame = pl.DataFrame(rows, schema={"a": pl.Float32, "b": pl.Int64, "label": pl.Boolean}, orient="row")
    frame.write_csv(file)
    local = source(file, features=["a", "b"], classes=[False, True]).load(0, 1, 0)
    both = [np.column_stack((half.features, half.labels)) for half in (local.train, local.holdout)]
    assert sorted(map(tuple, np.concatenate(both))) == sorted((a, float(b), float(c)) for a, b, c in rows)


CELLS = st.one_of(
    st.sampled_from(
        ["", "1", "2.5", "-3", "on", "off", "true", "NA", "nan", "inf", "1e400", '"', '"a,b"', "0x1", " 7 "]
    ),
    st.text(max_size=5),
)


@given(
    st.lists(st.lists(CELLS, max_size=4), max_size=8), st.sampled_from(["heat,label", "label", "heat,heat,label", ""])
)
def test_whatever_is_in_a_file_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], header: str
) -> None:
    file = tmp_path_factory.mktemp("table") / "a.csv"
    text = "\n".join([header, *(",".join(row) for row in rows)])
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    made = source(file, minimum=2)
    with suppress(ConfigurationError):
        local = made.load(0, 1, 0)
        assert np.isfinite(local.train.features).all()
        assert set(local.train.labels) <= set(range(len(made.task.classes)))
    with suppress(ConfigurationError):
        assert len(made.columns()) > 0


@given(st.binary(max_size=200))
def test_whatever_bytes_a_file_has_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for ending in ("csv", "parquet"):
        (folder / f"a.{ending}").write_bytes(data)
        with pytest.raises(ConfigurationError, match=f"a.{ending}"):
            source(folder / f"a.{ending}", ending, target="no such column").load(0, 1, 0)


def test_a_column_of_names_that_are_no_devices(tmp_path: Path) -> None:
    frame = table().with_columns(user=pl.Series(["Anna M", "Ben"] * (ROWS // 2)))
    made = source(write(tmp_path / "a.csv", frame), partition="column", by="user", **PINNED)
    with pytest.raises(ConfigurationError, match=r"names a device 'Anna M' after a value, and .*: write another one"):
        made.devices()


@pytest.mark.parametrize("sign", ["", "NA", "n/a", "NaN", "null", "None", " na "])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_target_may_be_missing_as_a_feature_may(tmp_path: Path, sign: str, task: str) -> None:
    file = tmp_path / "a.csv"
    values = ("1", "0") if task == "regression" else ("on", "off")
    rows = "".join(f"{number},{values[number % 2]}\n" for number in range(8))
    file.write_text(f"heat,label\n1,{values[0]}\n2,{sign}\n{rows}")
    with pytest.raises(ConfigurationError, match=r"a\.csv, line 3: column 'label' has no value.*1 of 10 rows"):
        source(file, task=task).load(0, 1, 0)
    made = source(file, task=task, missing="drop")
    assert len(everything(made.load(0, 1, 0))) == 9
    assert made.task.classes == (() if task == "regression" else ("off", "on"))
    assert {one.name: one.missing for one in made.columns()} == {"heat": 0, "label": 1}


def test_what_is_named_as_a_label_is_not_missing(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("fault,label\n" + "none,none\nworn,bad\n" * 5)
    made = source(file, one_hot={"fault": ["none", "worn"]}, classes=["none", "bad"])
    assert everything(made.load(0, 1, 0)) == [(0, 1, 1)] * 5 + [(1, 0, 0)] * 5
    assert [one.missing for one in made.columns()] == [0, 0]
    with pytest.raises(ConfigurationError, match=r"since 'none' stands for none.* name it, .* in classes"):
        source(file, one_hot={"fault": ["none", "worn"]}).load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"column 'fault' has no value.* name it, with all others, in one_hot"):
        source(file, one_hot={"fault": ["worn"]}, classes=["none", "bad"]).load(0, 1, 0)


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_a_row_that_is_cut_short_is_an_error_whatever_is_missing(tmp_path: Path, missing: str) -> None:
    rows = "1,2,on\n3,4,off\n" * 3
    (tmp_path / "a.csv").write_text(f"heat,level,label\n{rows}\n5,6\n{rows}")
    with pytest.raises(ConfigurationError, match=r"a\.csv: line 9 has 2 cells, the header has 3 columns: a row is cut"):
        source(tmp_path / "a.csv", missing=missing).load(0, 1, 0)
    (tmp_path / "a.csv").write_text(f"heat,level,label\n{rows}\n5,6,\n{rows}")
    with suppress(ConfigurationError) if missing == "error" else contextlib.nullcontext():
        assert len(everything(source(tmp_path / "a.csv", missing=missing).load(0, 1, 0))) == 12


def test_a_separator_is_one_character(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"separator.* is ';;', allowed is one character"):
        source(tmp_path / "a.csv", separator=";;")
