"""Who takes part in a simulation: devices that the data know, or that the fleet has."""

from pathlib import Path

import polars as pl
import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import DataSource, LocalData
from tierwise.core.task import Task
from tierwise.plugins import Plugins
from tierwise.runtime.cli.program import run
from tierwise.runtime.config import load_config, parse_config
from tierwise.runtime.simulation.enlisting import enlist

PLUGINS = Plugins.discover()
FOUR = ("attic", "cellar", "hall", "kitchen")


def devices(folder: Path, *names: str) -> None:
    """Write a CSV file for each device: as many rows as its name has letters, and five more."""
    (folder / "devices").mkdir(exist_ok=True)
    for place, name in enumerate(names):
        rows = len(name) + 5
        frame = pl.DataFrame(
            {"heat": [float(place)] * rows, "label": ["on", "off"] * (rows // 2) + ["on"] * (rows % 2)}
        )
        frame.write_csv(folder / "devices" / f"{name}.csv")


def enlisted(folder: Path, more: str = ""):
    data = '[data]\nsource = "csv"\npath = "devices/*.csv"\ntarget = "label"\n'
    (folder / "run.toml").write_text(f"{data}{more}")
    config = load_config(folder / "run.toml", PLUGINS)
    return enlist(config, config.data_source(PLUGINS), folder)


def rows(data: LocalData) -> int:
    return len(data.train) + len(data.holdout)


def test_the_fleet_is_of_the_devices_that_the_data_know(tmp_path: Path) -> None:
    devices(tmp_path, *FOUR)
    fleet = enlisted(tmp_path)
    assert {name: rows(spec.data) for name, spec in fleet.items()} == {name: len(name) + 5 for name in FOUR}
    assert len({spec.profile.value("cpu_flops") for spec in fleet.values()}) == 4  # drawn from the catalogue
    assert enlisted(tmp_path, "[fleet]\ndevices = 4").keys() == fleet.keys()


def test_a_table_gives_each_device_its_hardware_by_its_name(tmp_path: Path) -> None:
    devices(tmp_path, *FOUR)
    table = ["device,cpu_flops", *(f"{name},{len(name)}e9" for name in reversed(FOUR))]
    (tmp_path / "fleet.csv").write_text("\n".join(table))
    fleet = enlisted(tmp_path, '[fleet]\nhardware = "fleet.csv"')
    for place, name in enumerate(FOUR):
        assert fleet[name].profile.value("cpu_flops") == len(name) * 1e9
        assert set(fleet[name].data.train.features[:, 0]) == {float(place)}


@pytest.mark.parametrize(
    ("there", "more", "message"),
    [
        (FOUR, "[fleet]\ndevices = 60", "fleet.devices: devices is 60, and the data are of 4: leave devices"),
        (FOUR[:2], "", r"the data are of 2 devices \(attic, cellar\), a federation needs at least 3: add the"),
        ((*FOUR, "shed"), '[fleet]\nhardware = "fleet.csv"', r"fleet.csv: device: there are data of 'shed', and no"),
        (FOUR[1:], '[fleet]\nhardware = "fleet.csv"', "there are rows of 'attic', and no data of theirs; the data"),
        (("attik", *FOUR[1:]), '[fleet]\nhardware = "fleet.csv"', "there are data of 'attik', and no such row"),
    ],
)  # fmt: skip
def test_data_and_hardware_of_different_devices(tmp_path: Path, there: tuple, more: str, message: str) -> None:
    devices(tmp_path, *there)
    (tmp_path / "fleet.csv").write_text("\n".join(["device,cpu_flops", *(f"{name},1e9" for name in FOUR)]))
    with pytest.raises(ConfigurationError, match=message):
        enlisted(tmp_path, more)


class Plain(DataSource):
    """A source that has nothing but what the contract has always asked for."""

    task = Task(name="plain", features=1, classes=("a", "b"))

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        return PLUGINS.data_source("digits").load(part, parts, seed)


def test_a_source_that_knows_no_devices_deals_out_to_as_many_as_there_are() -> None:
    config = parse_config({"fleet": {"devices": 7}}, plugins=PLUGINS)
    fleet = enlist(config, Plain())
    assert list(fleet) == [f"d00{number}" for number in range(7)]
    assert sum(rows(spec.data) for spec in fleet.values()) == 1797


def test_the_coordinators_own_data_are_files_beside_the_configuration_too(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    devices(tmp_path / "here", *FOUR)
    pl.DataFrame({"heat": [1.0, 2.0] * 4, "label": ["off", "on"] * 4}).write_csv(tmp_path / "here/test.csv")
    source = 'source = "csv"\ntarget = "label"\nfeatures = ["heat"]\nclasses = ["off", "on"]\n'
    (tmp_path / "here/run.toml").write_text(
        f'[data]\npath = "devices/*.csv"\n{source}[evaluation]\npath = "test.csv"\n{source}'
    )
    config = load_config(tmp_path / "here/run.toml", PLUGINS)
    own = config.own_data(config.data_source(PLUGINS), PLUGINS)
    assert own.test is not None
    assert sorted(own.test.features[:, 0]) == [1.0] * 4 + [2.0] * 4


def test_what_a_pool_of_files_sets_apart_is_the_coordinators(tmp_path: Path) -> None:
    devices(tmp_path, *FOUR)
    more = 'partition = "iid"\nreserved = 7\n[fleet]\ndevices = 3\n[evaluation]\nsource = "reserved"'
    fleet = enlisted(tmp_path, more)
    config = load_config(tmp_path / "run.toml", PLUGINS)
    own = config.own_data(config.data_source(PLUGINS), PLUGINS)
    assert own.test is not None
    assert len(own.test) == 7
    assert sum(rows(spec.data) for spec in fleet.values()) == sum(len(name) + 5 for name in FOUR) - 7


def test_what_a_file_leaves_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.toml").write_text("[fleet]\ndevices = 3\n[stop]\nrounds = 1\n")
    assert run(["simulate", str(tmp_path / "run.toml")]) == 0
    told = "data source digits, dealt out to 3 devices; their hardware is drawn from the catalogue"
    assert told in capsys.readouterr().err
