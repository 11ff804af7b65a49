"""The devices' data, all of it in one segment of shared memory."""

import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, LocalData
from tierwise.runtime.simulation.shared_memory import OwnMemory

_LENGTH: Final = struct.Struct("<Q")
_ALIGNMENT: Final = 64
"""Bytes: a line of a processor's cache."""


class _Array(msgspec.Struct, frozen=True, array_like=True):
    """Where an array is, and how it is stored: the order of its axes decides how sums are computed."""

    start: int
    dtype: str
    shape: tuple[int, ...]
    fortran: bool


_Parts = tuple[_Array, _Array, _Array, _Array]
"""The arrays of one device, as `_arrays_of` orders them."""
_INDEX: Final = msgspec.msgpack.Decoder(dict[DeviceId, _Parts])


def share(data: Mapping[DeviceId, LocalData], memory: OwnMemory) -> str:
    """Copy all devices' data into a segment, and return its name."""
    end, index = 0, {}
    for device, local in data.items():
        parts = []
        for array in _arrays_of(local):
            parts.append(_Array(end, array.dtype.str, array.shape, _is_fortran(array)))
            end += _aligned(array.nbytes)
        index[device] = parts
    head = msgspec.msgpack.encode(index)
    base = _aligned(_LENGTH.size + len(head))
    name = memory.make(base + end)
    segment = memory.whole(name)
    segment[: _LENGTH.size + len(head)] = _LENGTH.pack(len(head)) + head
    for device, local in data.items():
        _copy(_arrays_of(local), index[device], segment[base:])
    return name


class SharedData:
    """Data that `share` put into a segment, as views of it."""

    def __init__(self, segment: memoryview) -> None:
        (length,) = _LENGTH.unpack(segment[: _LENGTH.size])
        self._index = _INDEX.decode(segment[_LENGTH.size : _LENGTH.size + length])
        self._arrays = segment[_aligned(_LENGTH.size + length) :]

    def __getitem__(self, device: DeviceId) -> LocalData:
        """Return a device's data."""
        features, labels, held_features, held_labels = (_view(one, self._arrays) for one in self._index[device])
        return LocalData(Dataset(features, labels), Dataset(held_features, held_labels))


def _arrays_of(local: LocalData) -> tuple[NDArray[Any], ...]:
    return local.train.features, local.train.labels, local.holdout.features, local.holdout.labels


def _copy(arrays: Iterable[NDArray[Any]], places: Iterable[_Array], segment: memoryview) -> None:
    for array, place in zip(arrays, places, strict=True):
        _view(place, segment)[...] = array


def _view(place: _Array, segment: memoryview) -> NDArray[Any]:
    return np.ndarray(place.shape, place.dtype, segment, place.start, order="F" if place.fortran else "C")


def _is_fortran(array: NDArray[Any]) -> bool:
    return array.flags.f_contiguous and not array.flags.c_contiguous


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
