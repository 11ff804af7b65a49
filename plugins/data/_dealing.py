"""What data sources that hold the data of many devices share: which sample goes to whom.

Some samples may be *reserved*: they go to no device, so a coordinator may hold them. The others are dealt out, or each
device has its own: then the data say whose a sample is, and nobody deals.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import is_device_id
from tierwise.core.learning import Dataset, LocalData
from tierwise.plugins.data._partition import (
    Rows,
    deal_evenly,
    deal_quantities,
    deal_shards,
    deal_skewed,
    split_holdout,
)

Dealt = Literal["iid", "dirichlet", "shards", "quantity"]
"""How samples can be dealt out."""
Partition = Literal["own", "column", "iid", "dirichlet", "shards", "quantity"]
"""Likewise, where the data may also say whose they are: each file a device's own, or by a column."""
NATURAL: Final = ("own", "column")
_TOLD: Final = 5
"""How many names a message lists."""


class DealingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of all sources whose samples go to several devices.

    Attributes
    ----------
    alpha
        Of the Dirichlet distribution, without a unit. With ``dirichlet``, 0.1 leaves a device with two or three
        classes, with ``quantity``, a few devices with nearly all samples; 100 is nearly even.
    shards
        With ``shards``: how many of them a device gets.
    holdout
        The share of a device's samples that it only evaluates on, at least one sample.
    minimum
        Samples that a device has at least, training and hold-out together.
    samples
        Samples that all devices have together, picked at random; none for all that are there.
    reserved
        Samples, picked at random, that no device gets: the coordinator may hold them.
    """

    alpha: Annotated[float, msgspec.Meta(ge=0.001)] = 0.3
    shards: Annotated[int, msgspec.Meta(ge=1)] = 2
    holdout: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    minimum: Annotated[int, msgspec.Meta(ge=2)] = 5
    samples: Annotated[int, msgspec.Meta(ge=2)] | None = None
    reserved: Annotated[int, msgspec.Meta(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class Samples:
    """All that a source has.

    Attributes
    ----------
    features
        Shape ``(n_samples, n_features)``, of any type of number: small ones stay as small as they are on disk.
    labels
        As in `Dataset`, hard.
    devices
        Of data that say whose they are: the devices' names.
    owners
        Shape ``(n_samples,)``: the number of each sample's device in ``devices``; empty without those.
    """

    features: NDArray[Any]
    labels: NDArray[np.int64] | NDArray[np.float32]
    devices: tuple[str, ...] = ()
    owners: Rows = field(default_factory=lambda: np.empty(0, np.intp))

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: Rows) -> Dataset:
        """Return a copy of some rows."""
        return Dataset(self.features[rows].astype(np.float32, copy=False), self.labels[rows])


class Dealer:
    """Gives each device its samples.

    Parameters
    ----------
    source
        The data source's name, for messages.
    options
        How to deal.
    partition
        One of `Partition`.
    read
        Reads all samples; called when they are needed first.

    Raises
    ------
    ConfigurationError
        If samples are reserved of data that are each device's own.
    """

    def __init__(self, source: str, options: DealingOptions, partition: str, read: Callable[[], Samples]) -> None:
        self._source = f"data source {source!r}"
        self._options = options
        self._partition = partition
        self._read = read
        self._samples: Samples | None = None
        # The last one only: who asks for all parts asks for them in a row. It is replaced as a whole, so threads that
        # ask at the same time can at worst make it twice.
        self._last: tuple[tuple[int, int], list[tuple[Rows, Rows]]] | None = None
        if partition == "own" and (options.reserved or options.samples):
            word = "reserved" if options.reserved else "samples"
            instead = "; samples that the coordinator may hold come from another file: [exchange.public] of a TOML file"
            raise ConfigurationError(
                f"{word} is {getattr(options, word)}, but with partition = 'own' all that is in a device's file is the "
                f"device's: leave {word} out, or choose another partition{instead if options.reserved else ''}"
            )

    @property
    def samples(self) -> Samples:
        """All of them."""
        if self._samples is None:
            self._samples = self._read()
        return self._samples

    def devices(self) -> tuple[str, ...]:
        """Return the names of the devices that the data are of; none where samples are dealt out.

        Raises
        ------
        ConfigurationError
            If one cannot name a device, or two are the same.
        """
        if self._partition not in NATURAL:
            return ()
        names = self.samples.devices
        what, way_out = ("a file", "rename it") if self._partition == "own" else ("a value", "write another one")
        for name in names:
            if not is_device_id(name):
                raise ConfigurationError(
                    f"{self._source} names a device {name!r} after {what}, and 1 to 64 of A-Z a-z 0-9 . _ - are "
                    f"allowed, the first a letter or digit: {way_out}"
                )
            if names.count(name) > 1:
                raise ConfigurationError(f"{self._source} has {names.count(name)} files named {name!r}: rename them")
        return names

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Return one part; the others of the same partition then cost nothing.

        Raises
        ------
        ConfigurationError
            If there are not enough samples for so many parts, or the data are of another number of devices.
        ValueError
            If ``part`` is not one of ``parts``.
        """
        if not 0 <= part < parts:
            raise ValueError(f"part is {part}, with {parts} parts it is from 0 to {parts - 1}")
        last = self._last
        if last is None or last[0] != (parts, seed):
            self._last = last = (parts, seed), self._split(parts, seed)
        train, holdout = last[1][part]
        return LocalData(self.samples.take(train), self.samples.take(holdout))

    def reserved(self, seed: int) -> Dataset:
        """Return the samples that no device gets, in whatever number of parts.

        Raises
        ------
        ConfigurationError
            If none are.
        """
        if not self._options.reserved:
            raise ConfigurationError(
                f"{self._source} sets no samples apart: set reserved to how many the coordinator may hold"
            )
        return self.samples.take(self._set_apart(seed, len(self.samples))[0])

    def all_samples(self, seed: int) -> Dataset:
        """Return the samples that all devices have together, in the order of the data, however few."""
        return self.samples.take(self.chosen(seed, len(self.samples)))

    def chosen(self, seed: int, there: int) -> Rows:
        """Return which ones of so many rows `all_samples` takes."""
        return self._set_apart(seed, there)[1]

    def _set_apart(self, seed: int, there: int) -> tuple[Rows, Rows]:
        """Return which of so many rows are reserved, and which are the devices'."""
        options = self._options
        if not options.reserved and options.samples is None:
            return np.empty(0, np.intp), np.arange(there)
        wanted = options.reserved + (options.samples or options.minimum)
        if wanted > there:
            raise ConfigurationError(
                f"{self._source} has {there} samples, too few for reserved = {options.reserved} and "
                f"{options.samples or options.minimum} for the devices"
            )
        # A stream of its own: how many are reserved does not change how the others are dealt out.
        order = np.random.default_rng([seed, 1]).permutation(there)
        reserved, others = np.split(order, [options.reserved])
        return reserved, np.sort(others[: options.samples])

    def _split(self, parts: int, seed: int) -> list[tuple[Rows, Rows]]:
        rows, share = self.chosen(seed, len(self.samples)), self._options.holdout
        random = np.random.default_rng(seed)
        if self._partition not in NATURAL:
            return [split_holdout(rows[hand], share, random) for hand in self._deal(rows, parts, random)]
        # Each device by its name: its own file alone is split as among all the others'.
        names = self.samples.devices if parts == len(self.samples.devices) else ("",)
        return [
            split_holdout(hand, share, np.random.default_rng([seed, 2, *name.encode()]))
            for name, hand in zip(names, self._own(rows, parts), strict=True)
        ]

    def _own(self, rows: Rows, parts: int) -> list[Rows]:
        devices, minimum = self.samples.devices, self._options.minimum
        if parts == 1:
            hands, devices = [rows], (devices if len(devices) == 1 else ("all devices together",))
        elif parts == len(devices):
            hands = [rows[self.samples.owners[rows] == number] for number in range(parts)]
        else:
            raise ConfigurationError(
                f"{self._source} has the data of {len(devices)} devices ({some(devices)}), which cannot be those of "
                f"{parts}"
            )
        few = [name for name, hand in zip(devices, hands, strict=True) if len(hand) < minimum]
        if few:
            raise ConfigurationError(
                f"{self._source} has fewer than {minimum} samples (option minimum) of {some(few)}: leave out who "
                "has too few, or lower minimum; 2 is the least, one to train on and one to evaluate on"
            )
        return hands

    def _deal(self, rows: Rows, parts: int, random: np.random.Generator) -> list[Rows]:
        options, labels = self._options, self.samples.labels[rows]
        if parts * options.minimum > len(rows):
            raise ConfigurationError(
                f"{self._source} has {len(rows)} samples{' to deal out' if options.reserved else ''}, which with at "
                f"least {options.minimum} for each device is enough for {len(rows) // options.minimum} devices, not "
                f"for {parts}: take fewer devices, or a lower minimum"
            )
        match self._partition:
            case "iid":
                return deal_evenly(len(rows), parts, random)
            case "quantity":
                return deal_quantities(len(rows), parts, options.alpha, options.minimum, random)
            case "shards":
                self._check_shards(len(rows), parts)
                return deal_shards(labels, parts, options.shards, options.minimum, random)
            case _:
                if labels.dtype != np.int64:
                    raise ConfigurationError(
                        f"{self._source}: partition = 'dirichlet' deals out classes, and a regression has none: take "
                        "'shards', which deals out ranges of the target, or 'quantity', 'iid'"
                    )
                return deal_skewed(labels.astype(np.int64, copy=False), parts, options.alpha, options.minimum, random)

    def _check_shards(self, there: int, parts: int) -> None:
        if parts * self._options.shards > there:
            raise ConfigurationError(
                f"{self._source} has {there} samples, fewer than {parts} devices times {self._options.shards} shards: "
                "take fewer devices, or fewer shards"
            )


def some(names: tuple[str, ...] | list[str]) -> str:
    """List names for a message, the first ones of many."""
    more = len(names) - _TOLD
    listed = ", ".join(names[:_TOLD])
    return f"{listed} and {more} more" if more > 0 else listed
