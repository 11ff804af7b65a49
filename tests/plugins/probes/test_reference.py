"""The page of the quantities says of each where it comes from, and forgets none."""

import re
from pathlib import Path

import anyio
import pytest

from tierwise.core.hardware import DEFAULTS, QUANTITIES
from tierwise.plugins import Kind, Plugins, builtin
from tierwise.runtime.transports.mqtt.meter import LinkMeter

PAGE = (Path(__file__).parents[3] / "docs/reference/probes.md").read_text("utf-8")
PLUGINS = Plugins(builtin)
PROBES = [found.name for found in PLUGINS.descriptors(Kind.PROBE)]
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| `\w+_\w+`.*\|", line)]
SOURCES = {name: source for names, _, source, _, _ in ROWS for name in re.findall(r"`(\w+)`", names)}


def test_every_quantity_is_there_in_its_order() -> None:
    # the two rates of a link share a row
    assert list(SOURCES) == list(QUANTITIES)


@pytest.mark.parametrize("probe", PROBES)
def test_what_a_probe_measures_comes_from_it(probe: str) -> None:
    for name in anyio.run(PLUGINS.probe(probe).measure):
        assert f"`{probe}`" in SOURCES[name]


def test_what_is_learnt_of_a_link_comes_from_it() -> None:
    meter = LinkMeter()
    meter.acknowledged(10, 0.1)
    meter.acknowledged(100_000, 1.0)
    meter.took_piece(b"x", 1, 0.0, direct=False)
    meter.took_piece(b"x", 100_000, 1.0, direct=False)
    meter.downloaded(b"x", 1.0, direct=False)
    assert len(meter.link) == 3
    for name in meter.link:
        assert "[`link`](#link)" in SOURCES[name]


def test_who_has_a_default_says_so() -> None:
    told = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[0]) if row[-1].strip() != "–"}
    assert told == DEFAULTS.keys()


def test_every_probe_is_there() -> None:
    assert all(re.search(rf"^\| `{probe}` \|", PAGE, re.MULTILINE) for probe in PROBES)
