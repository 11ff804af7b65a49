"""A catalogue of real device models, from a single-board computer to a workstation.

The figures are published ones, each with its source beside it in ``devices.csv``. What they are, and are not:

- ``cpu_flops`` and ``power_w`` were measured on one unit of the model under HPL (High-Performance Linpack,
  float64, on the CPU), the power at the wall. HPL keeps a machine at its best for minutes: training in small
  batches reaches less of it. The Macs with M1 and M4 ran it in a container.
- ``memory_bytes`` and ``cpu_count`` (physical cores) are the maker's specification of the variant that the
  model's name gives.
- The links are nominal rates of what is built in: the fastest RJ45 Ethernet port, or Wi-Fi where there is
  none. What gets through is less, over Wi-Fi much less.
"""

import csv
from enum import StrEnum
from functools import cache
from importlib import resources

import msgspec


class DeviceKind(StrEnum):
    """What a device model is sold as."""

    BOARD = "board"
    MINI_PC = "mini-pc"
    LAPTOP = "laptop"
    DESKTOP = "desktop"
    WORKSTATION = "workstation"


class DeviceModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of device that one can buy: one row of the catalogue.

    Attributes
    ----------
    model
        Maker and model, with the variant where memory or processor differ; unique.
    kind
        What it is sold as.
    cpu_count
        Physical cores.
    cpu_flops
        float64 FLOP/s of the whole processor under HPL, measured.
    memory_bytes
        Main memory, as built in: 1 GB on the label is 2**30 bytes.
    downlink_bytes_per_s, uplink_bytes_per_s
        Nominal rate of the built-in link in each direction.
    link
        That link, in words.
    power_w
        Power at the wall under HPL, measured.
    cpu_flops_source, memory_source, link_source, power_source
        Where each figure was published; ``memory_source`` goes for ``cpu_count`` too.
    hpl_name
        The device's name in the table of HPL results.
    """

    model: str
    kind: DeviceKind
    cpu_count: int
    cpu_flops: float
    memory_bytes: int
    downlink_bytes_per_s: float
    uplink_bytes_per_s: float
    link: str
    power_w: float
    cpu_flops_source: str
    memory_source: str
    link_source: str
    power_source: str
    hpl_name: str


@cache
def device_models() -> tuple[DeviceModel, ...]:
    """Read the catalogue.

    Returns
    -------
    tuple of DeviceModel
        Ordered from the weakest to the strongest by ``cpu_flops``.
    """
    table = resources.files("tierwise.runtime.fleet").joinpath("devices.csv")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines(), strict=True))
    models = msgspec.convert(rows, list[DeviceModel], strict=False)
    return tuple(sorted(models, key=lambda model: model.cpu_flops))
