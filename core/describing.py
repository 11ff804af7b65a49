"""What a data source can tell of its data, for people who set a federation up."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column of a device's data, or several of one kind.

    Attributes
    ----------
    name
        As the data call it.
    dtype
        Of its values, as they are stored.
    role
        What it is for: ``feature``, ``target``, ``device``, or nothing.
    missing
        How many values are.
    least, greatest
        Its range; None for texts.
    """

    name: str
    dtype: str
    role: str = "feature"
    missing: int = 0
    least: float | None = None
    greatest: float | None = None


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Samples that were left out since they lack a value.

    Attributes
    ----------
    where
        The file, or who they are of.
    samples, there
        How many were left out, of how many.
    """

    where: str
    samples: int
    there: int

    def __str__(self) -> str:
        return f"{self.where}: {self.samples} of {self.there} samples lack a value and are left out"


@runtime_checkable
class Dropping(Protocol):
    """What a `DataSource` also has that can leave samples out."""

    def dropped(self) -> Sequence[Dropped]:
        """Return what was left out of each file; nothing for those that are whole."""
        ...


@runtime_checkable
class Describing(Protocol):
    """What a `DataSource` also has whose task may be read from the data.

    A coordinator has no data, and a device may lack a class: they need the task written down.
    """

    def pins(self) -> Mapping[str, object]:
        """Return the options, with their values, that tell the task without the data.

        A source made with them has the same schema hash, and needs no data for it.
        """
        ...

    def columns(self) -> Sequence[Column]:
        """Return what the data consist of."""
        ...
