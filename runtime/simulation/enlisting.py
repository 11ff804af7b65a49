"""Who takes part in a simulation: the fleet's hardware and the data source's data, brought together."""

from pathlib import Path

from tierwise.core.errors import ConfigurationError
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import DataSource, KnowsDevices
from tierwise.runtime.config import RunConfig
from tierwise.runtime.config_tables import CATALOGUE
from tierwise.runtime.simulation.fleet import DeviceSpec


def enlist(config: RunConfig, source: DataSource, folder: Path = Path()) -> dict[DeviceId, DeviceSpec]:
    """Return the devices, with hardware and data.

    Data that know whose they are have their devices; others are dealt out to as many as the fleet has.

    Parameters
    ----------
    folder
        Where relative paths of the configuration start.

    Raises
    ------
    ConfigurationError
        If data and hardware are not of the same devices, or of too few, or cannot be read.
    """
    named, profiles = fleet_of(config, source, folder)
    places = {name: part for part, name in enumerate(named or profiles)}
    return {
        name: DeviceSpec(profile, source.load(places[name], len(profiles), config.seed))
        for name, profile in profiles.items()
    }


def told(config: RunConfig, source: DataSource, devices: int) -> str:
    """Say which data and which fleet are taken: a file may have left both to the defaults."""
    named = isinstance(source, KnowsDevices) and bool(source.devices())
    drawn = config.fleet.hardware == CATALOGUE
    return (
        f"data source {config.data.name}, {'of' if named else 'dealt out to'} {devices} devices; their hardware is "
        + ("drawn from the catalogue" if drawn else f"that of {config.fleet.hardware}")
    )


def fleet_of(
    config: RunConfig, source: DataSource, folder: Path = Path()
) -> tuple[tuple[str, ...], dict[DeviceId, HardwareProfile]]:
    """Return the devices that the data know, in the order of their parts, and the hardware of all devices.

    Raises
    ------
    ConfigurationError
        As `enlist`.
    """
    named = _named(source)
    return named, config.profiles(folder, named)


def _named(source: DataSource) -> tuple[str, ...]:
    """Return the devices that the data know, in the order of their parts; none where data are dealt out."""
    named = source.devices() if isinstance(source, KnowsDevices) else ()
    if named and len(named) < MINIMUM:
        raise ConfigurationError(
            f"the data are of {len(named)} device{'' if len(named) == 1 else 's'} ({', '.join(named)}), a federation "
            f"needs at least {MINIMUM}: add the files of more, or, where a file has the rows of many, set partition",
            key="data",
        )
    return named
