"""The catalogue of real device models: plausible, sourced, and equal to what was published."""

import csv
import gzip

import pytest

from tests.real_data import DATA, needs_real_data
from tierwise.runtime.fleet.catalogue import DeviceKind, DeviceModel, device_models

MODELS = device_models()
HPL_RESULTS = DATA / "devices_hpl_gflops_watts.csv.gz"

each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model)


def test_about_thirty_models_spread_over_the_range() -> None:
    assert 25 <= len(MODELS) <= 40
    assert sum(m.cpu_flops < 10e9 for m in MODELS) >= 7
    assert sum(10e9 <= m.cpu_flops < 60e9 for m in MODELS) >= 10
    assert sum(m.cpu_flops >= 60e9 for m in MODELS) >= 10
    assert {m.kind for m in MODELS} == set(DeviceKind)


def test_names_are_unique() -> None:
    assert len({m.model for m in MODELS}) == len(MODELS)
    assert len({m.hpl_name for m in MODELS}) == len(MODELS)


def test_ordered_from_weakest_to_strongest() -> None:
    speeds = [m.cpu_flops for m in MODELS]
    assert speeds == sorted(speeds)
    assert MODELS[0].model == "Raspberry Pi Zero 2 W"
    assert MODELS[-1].kind is DeviceKind.WORKSTATION


def test_reads_the_file_once() -> None:
    assert device_models() is MODELS


@each_model
def test_figures_are_in_the_units_that_their_names_say(model: DeviceModel) -> None:
    assert 1 <= model.cpu_count <= 64
    assert 1e8 < model.cpu_flops < 1e13
    # No core of these reaches 100 GFLOP/s in float64, none stays under 50 MFLOP/s: a slip of 1000 shows.
    assert 5e7 < model.cpu_flops / model.cpu_count < 1e11
    assert 2**28 <= model.memory_bytes <= 2**40
    assert model.memory_bytes % 2**28 == 0
    assert 1e6 < model.uplink_bytes_per_s <= 1.25e9
    assert model.uplink_bytes_per_s <= model.downlink_bytes_per_s <= 1.25e9
    assert 1 < model.power_w < 1000
    assert 1e8 < model.cpu_flops / model.power_w < 2e10


@each_model
def test_link_rate_is_that_of_the_link_named(model: DeviceModel) -> None:
    bits_per_s = {
        "Wi-Fi 4, 1x1, 20 MHz": 72.2e6,
        "Wi-Fi 5, 1x1, 80 MHz": 433.3e6,
        "Wi-Fi 7, 2x2, 160 MHz": 2882.4e6,
        "Gigabit Ethernet": 1e9,
        "2.5 Gigabit Ethernet": 2.5e9,
        "5 Gigabit Ethernet": 5e9,
        "10 Gigabit Ethernet": 10e9,
    }
    assert model.downlink_bytes_per_s == pytest.approx(bits_per_s[model.link] / 8)
    assert model.uplink_bytes_per_s == model.downlink_bytes_per_s


@each_model
def test_memory_is_that_of_the_variant_named(model: DeviceModel) -> None:
    if " GB)" in model.model:
        assert model.model.endswith(f"{model.memory_bytes // 2**30} GB)")


@each_model
def test_every_figure_has_a_source(model: DeviceModel) -> None:
    sources = (model.cpu_flops_source, model.memory_source, model.link_source, model.power_source)
    assert all(source.strip() == source != "" for source in sources)


@pytest.mark.data
@needs_real_data
def test_measured_figures_equal_the_published_ones() -> None:
    with gzip.open(HPL_RESULTS, "rt", encoding="utf-8", newline="") as lines:
        published = {row["device"]: row for row in csv.DictReader(lines)}
    measured = {m.hpl_name: (m.cpu_flops, m.power_w) for m in MODELS}
    assert measured == {
        name: (
            pytest.approx(float(published[name]["hpl_gflops"]) * 1e9),
            pytest.approx(float(published[name]["watts"])),
        )
        for name in measured
    }
