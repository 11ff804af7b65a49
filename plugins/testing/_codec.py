"""The laws of codecs."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Iterator
from typing import Final

import numpy as np

from tierwise.core.coding import GRAIN, ArrayForm, Arrays, Codec, SumsCoded, is_plain
from tierwise.core.weights import Buffer
from tierwise.plugins.testing._laws import frozen, hold, same

_SIZES: Final = (1, GRAIN - 1, GRAIN, GRAIN + 1, 5 * GRAIN + 7)
_LARGEST: Final = np.finfo(np.float32).max
_GARBAGE: Final = 20


def check_codec(codec: Codec) -> None:
    """Check that a codec keeps its contract.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(codec, LAWS)


def _update(size: int, seed: int = 0) -> Buffer:
    """Make an update with values of very different sizes, as those of a model's layers are."""
    random = np.random.default_rng(seed)
    scales = 10 ** random.uniform(-4, -1, -(-size // 100))
    values: Buffer = frozen((random.normal(size=size) * np.repeat(scales, 100)[:size]).astype(np.float32))
    return values


def _updates() -> Iterator[Buffer]:
    return (_update(size) for size in _SIZES)


def _coded(codec: Codec, update: Buffer, seed: int = 1) -> Arrays:
    return {name: frozen(array) for name, array in codec.encode(update, seed).items()}


def _decoded(codec: Codec, arrays: Arrays, size: int, length: int | None = None) -> Buffer:
    out = np.full(size, np.nan, np.float32)
    length = length or size
    for start in range(0, size, length):
        block = slice(start, min(start + length, size))
        codec.decode(arrays, block, out[block])
    return out


def whether_there_is_feedback_is_declared(codec: Codec) -> str | None:
    """``feedback`` is true or false: devices keep as many bytes as the model has, or none."""
    found: object = codec.feedback
    return None if isinstance(found, bool) else f"feedback is {found!r}, expected True or False"


def the_form_follows_from_the_size(codec: Codec) -> str | None:
    """What devices send is checked against it, and rounds are predicted by it."""
    for size in _SIZES:
        form = codec.form(size)
        if not form or not all(name and isinstance(one, ArrayForm) for name, one in form.items()):
            return f"the form of {size} values is {form!r}, expected an ArrayForm for each array's name"
        if dict(form) != dict(codec.form(size)):
            return f"the form of {size} values is not the same the second time"
    return None


def the_arrays_have_that_form(codec: Codec) -> str | None:
    """Whatever the values are."""
    for update in (*_updates(), frozen(np.zeros(GRAIN, np.float32))):
        form, arrays = codec.form(update.size), codec.encode(update, 1)
        if arrays.keys() != form.keys():
            return f"the arrays are {sorted(arrays)}, the form has {sorted(form)}"
        for name, one in form.items():
            found = arrays[name]
            if found.shape != (one.length,) or found.dtype != one.dtype.numpy:
                return (
                    f"array {name!r} of {update.size} values has shape {found.shape} and dtype {found.dtype}, the form "
                    f"has ({one.length},) and {one.dtype.numpy}"
                )
    return None


def the_update_stays_as_it_is(codec: Codec) -> str | None:
    """What coding loses is found by comparing with it."""
    for update in _updates():
        given = update.copy()  # writable, to see what is written
        codec.encode(given, 1)
        if not same(given, update):
            return "the update was changed"
    return None


def the_same_seed_gives_the_same_arrays(codec: Codec) -> str | None:
    """To the last byte: what was encoded before does not matter."""
    update = _update(_SIZES[-1])
    first = _coded(codec, update)
    codec.encode(_update(_SIZES[-1], seed=2), 3)
    again = _coded(codec, update)
    different = [name for name in first if not same(first[name], again[name])]
    return f"array {different[0]!r} differs the second time" if different else None


def what_it_makes_has_no_fault(codec: Codec) -> str | None:
    """Nobody's honest update is refused."""
    for update in (*_updates(), *_extremes()):
        fault = codec.fault(_coded(codec, update), update.size)
        if fault is not None:
            return f"of an update of {update.size} values it says: {fault}"
    return None


def _extremes() -> Iterator[Buffer]:
    for value in (0.0, _LARGEST, 1e-45, -1e-38):
        yield frozen(np.full(GRAIN + 1, value, np.float32))


def every_element_is_written(codec: Codec) -> str | None:
    """What ``out`` held before does not matter."""
    for update in _updates():
        arrays = _coded(codec, update)
        out = np.full(update.size, 7, np.float32)
        codec.decode(arrays, slice(0, update.size), out)
        if not same(out, _decoded(codec, arrays, update.size)):
            return "what is decoded depends on what was in out before"
    return None


def what_is_decoded_is_finite(codec: Codec) -> str | None:
    """Of finite values, however large or small."""
    for update in (*_updates(), *_extremes()):
        found = _decoded(codec, _coded(codec, update), update.size)
        if not np.isfinite(found).all():
            return f"of values up to {np.abs(update).max()!s} it decodes {found[~np.isfinite(found)][0]!s}"
    return None


def the_cut_into_blocks_does_not_matter(codec: Codec) -> str | None:
    """To the last bit: an update is checked in other blocks than it is reduced in."""
    for update in _updates():
        arrays = _coded(codec, update)
        for length in (GRAIN, 2 * GRAIN):
            if not same(_decoded(codec, arrays, update.size, length), _decoded(codec, arrays, update.size)):
                return f"in blocks of {length} an update of {update.size} values is another"
    return None


def a_plain_form_has_the_values_themselves(codec: Codec) -> str | None:
    """A single float32 array of the update's size is framed, and read, as weights are."""
    for update in _updates():
        if is_plain(codec.form(update.size), update.size):
            (array,) = codec.encode(update, 1).values()
            if not same(array, update) or not same(_decoded(codec, _coded(codec, update), update.size), update):
                return "its form is a float32 array of the update's size, and that is not the update"
    return None


def less_is_lost_than_is_sent(codec: Codec) -> str | None:
    """Or what a device keeps would grow for ever; and of nothing, nothing is made."""
    for update in (*_updates(), frozen(np.zeros(GRAIN, np.float32))):
        lost = np.linalg.norm(update.astype(np.float64) - _decoded(codec, _coded(codec, update), update.size))
        norm = np.linalg.norm(update.astype(np.float64))
        if lost > 0 and not lost < norm:
            return f"of an update of norm {norm:.4g} it loses {lost:.4g}"
    return None


def garbage_is_told_or_can_be_decoded(codec: Codec) -> str | None:
    """A device may send anything of the right form."""
    random = np.random.default_rng(0)
    for number in range(_GARBAGE):
        size = _SIZES[number % len(_SIZES)]
        arrays = {}
        for name, one in codec.form(size).items():
            raw = bytes(random.integers(0, 256, one.bytes, np.uint8))
            if number % 2:  # small numbers, which are more often right
                raw = random.integers(0, 100, one.length).astype(one.dtype.numpy).tobytes()
            arrays[name] = np.frombuffer(raw, one.dtype.numpy)
        fault = codec.fault(arrays, size)
        if fault is None:
            _decoded(codec, arrays, size)  # raises, where it relies on what fault did not look at
        elif not isinstance(fault, str) or not fault.strip():
            return f"fault returned {fault!r}, expected what is wrong, or None"
    return None


def a_sum_is_the_sum_of_what_is_decoded(codec: Codec) -> str | None:
    """Who sums coded updates: whether they are decoded first does not matter."""
    if not isinstance(codec, SumsCoded):
        return None
    size, weights = _SIZES[-1], frozen(np.array([1, 70, 3, 2, 5], np.int64))
    arrays = [_coded(codec, _update(size, seed), seed) for seed in range(len(weights))]
    decoded = np.stack([_decoded(codec, one, size).astype(np.float64) for one in arrays])
    expected, most = weights @ decoded / 81, np.abs(decoded).max()
    out = np.full(size, np.nan, np.float32)
    for start in range(0, size, 2 * GRAIN):
        block = slice(start, min(start + 2 * GRAIN, size))
        codec.weighted_sum(arrays, weights, block, out[block], divisor=81)
    apart = np.abs(out - expected)
    if (apart <= 1e-5 * most).all():  # false for NaN, too
        return None
    worst = int(np.argmax(np.where(np.isnan(apart), np.inf, apart)))
    return f"element {worst} is {out[worst]!s}, expected {expected[worst]!s}"


LAWS: Final = (
    whether_there_is_feedback_is_declared,
    the_form_follows_from_the_size,
    the_arrays_have_that_form,
    the_update_stays_as_it_is,
    the_same_seed_gives_the_same_arrays,
    what_it_makes_has_no_fault,
    every_element_is_written,
    what_is_decoded_is_finite,
    the_cut_into_blocks_does_not_matter,
    a_plain_form_has_the_values_themselves,
    less_is_lost_than_is_sent,
    garbage_is_told_or_can_be_decoded,
    a_sum_is_the_sum_of_what_is_decoded,
)
