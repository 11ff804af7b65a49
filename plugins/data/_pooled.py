"""What data sources have in common that read files into a pool, from which samples are dealt out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tierwise.core.describing import Column, Dropped
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins.data._dealing import Dealer


class Pool(Protocol):
    """Reads the files, and says what is in them."""

    dealer: Dealer

    def task(self) -> Task: ...
    def dropped(self) -> tuple[Dropped, ...]: ...
    def schema_options(self) -> dict[str, object]: ...
    def features_only(self, seed: int) -> NDArray[np.float32]: ...
    def pins(self) -> dict[str, object]: ...
    def columns(self) -> tuple[Column, ...]: ...


class PooledSource:
    """A data source over a pool.

    Parameters
    ----------
    pool
        Does the work.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def task(self) -> Task:
        """What is learned."""
        return self._pool.task()

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Return one part."""
        return self._pool.dealer.load(part, parts, seed)

    def devices(self) -> tuple[str, ...]:
        """Return whose the data are, if they say so."""
        return self._pool.dealer.devices()

    def reserved(self, seed: int) -> Dataset:
        """Return the samples that no device gets."""
        return self._pool.dealer.reserved(seed)

    def dropped(self) -> tuple[Dropped, ...]:
        """Return what was left out of each file, for a missing value."""
        return self._pool.dropped()

    def schema_options(self) -> dict[str, object]:
        """Return the options that another set of the same task shares."""
        return self._pool.schema_options()

    def all_samples(self, seed: int) -> Dataset:
        """Return all samples, undivided."""
        return self._pool.dealer.all_samples(seed)

    def features_only(self, seed: int) -> NDArray[np.float32]:
        """Return the features of all samples, which need no target."""
        return self._pool.features_only(seed)

    def pins(self) -> dict[str, object]:
        """Return the options that tell the task without the files."""
        return self._pool.pins()

    def columns(self) -> tuple[Column, ...]:
        """Describe what is in the files."""
        return self._pool.columns()
