"""What codecs make of an update, and of it an update again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tierwise.core.coding import GRAIN
from tierwise.core.errors import ConfigurationError
from tierwise.plugins.codecs.halves import Bfloat16Codec, Float16Codec, HalfOptions
from tierwise.plugins.codecs.int8 import Int8Codec, Int8Options
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.plugins.codecs.top_k import TopKCodec, TopKOptions

FLOAT16, BFLOAT16 = Float16Codec(HalfOptions()), Bfloat16Codec(HalfOptions())
INT8 = Int8Codec(Int8Options())

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
updates = arrays(np.float32, st.integers(0, 40), elements=finite)
ordinary = arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e4, 1e4, width=32))


def decoded(codec, coded, size):
    out = np.full(size, np.nan, np.float32)
    codec.decode(coded, slice(0, size), out)
    return out


def there_and_back(codec, update, seed=0):
    coded = codec.encode(update, seed)
    assert codec.fault(coded, update.size) is None
    return decoded(codec, coded, update.size)


def normal(size, seed=0):
    return np.random.default_rng(seed).normal(scale=0.01, size=size).astype(np.float32)


@given(updates)
def test_float32_is_the_update_itself(update):
    assert there_and_back(Float32Codec(), update).tobytes() == update.tobytes()


@given(ordinary)
def test_float16_is_within_half_a_unit_of_its_last_place(update):
    apart = np.abs(there_and_back(FLOAT16, update) - update.astype(np.float64))
    assert (apart <= np.maximum(2.0**-11 * np.abs(update), 2.0**-25)).all()


@given(updates)
def test_bfloat16_is_within_half_a_unit_of_its_last_place(update):
    apart = np.abs(there_and_back(BFLOAT16, update).astype(np.float64) - update)
    largest = np.abs(update.astype(np.float64))
    assert (apart <= np.where(largest < 3.38e38, np.maximum(2.0**-8 * largest, 2.0**-134), 2.0**120)).all()


@pytest.mark.parametrize(
    ("value", "half"),
    [(1.0, 0x3F80), (1 + 2**-8, 0x3F80), (1 + 3 * 2**-8, 0x3F82), (-1.0, 0xBF80), (3.4e38, 0x7F7F), (-3.4e38, 0xFF7F)],
    ids=["exact", "a tie to even", "a tie up to even", "negative", "no infinity", "no negative infinity"],
)
def test_bfloat16_rounds_to_the_nearest_and_at_a_tie_to_even(value, half):
    assert BFLOAT16.encode(np.array([value], np.float32), 0)["values"].tolist() == [half]


def test_float16_cuts_off_what_is_too_large():
    assert there_and_back(FLOAT16, np.array([7e4, -1e30], np.float32)).tolist() == [65504, -65504]


@given(updates, st.integers(0, 9))
def test_int8_is_within_a_step(update, seed):
    step = float(np.abs(update).max(initial=0)) / 127
    apart = np.abs(there_and_back(INT8, update, seed).astype(np.float64) - update)
    assert (apart <= step * (1 + 2.0**-14) + 2.0**-100).all()


def test_int8_has_a_scale_for_every_1024_values():
    update = np.concatenate([np.full(GRAIN, 1e-6), np.full(GRAIN, 1e6), [5.0]]).astype(np.float32)
    coded = INT8.encode(update, 0)
    np.testing.assert_allclose(coded["scales"], np.array([1e-6, 1e6, 5]) / 127, rtol=1e-6)
    np.testing.assert_allclose(decoded(INT8, coded, update.size), update, rtol=1e-6)


def test_int8_is_right_on_average():
    update = normal(3000)
    seeds = 400
    mean = np.mean([there_and_back(INT8, update, seed).astype(np.float64) for seed in range(seeds)], axis=0)
    step = np.abs(update).max() / 127
    # A rounding has a standard deviation of half a step at the most: four of them, of the mean of so many.
    off = mean - update
    assert np.abs(off).max() < 5 * 0.5 * step / seeds**0.5
    assert abs(off.mean()) < 5 * 0.5 * step / (seeds * update.size) ** 0.5


def test_int8_goes_by_its_seed():
    update = normal(2000)
    first, second = (INT8.encode(update, seed)["values"] for seed in (1, 2))
    assert 0.1 < np.mean(first != second) < 0.9
    assert (INT8.encode(update, 1)["values"] == first).all()


@given(updates, st.floats(0.01, 1))
def test_top_k_has_the_largest_values_and_nothing_else(update, fraction):
    codec = TopKCodec(TopKOptions(fraction=fraction))
    coded = codec.encode(update, 0)
    count = int(np.ceil(fraction * update.size))
    assert coded["indices"].size == count
    sent = np.zeros(update.size, bool)
    sent[coded["indices"]] = True
    assert sent.sum() == count
    assert np.abs(update[sent]).min(initial=np.inf) >= np.abs(update[~sent]).max(initial=0)
    assert there_and_back(codec, update).tobytes() == np.where(sent, update, np.float32(0)).tobytes()


def test_top_k_of_equal_values_takes_the_first_ones():
    update = np.array([1, -2, 1, -1, 1], np.float32)
    assert TopKCodec(TopKOptions(fraction=0.6)).encode(update, 0)["indices"].tolist() == [0, 1, 2]


def test_top_k_has_places_of_32_bits():
    with pytest.raises(ConfigurationError, match="4,294,967,295 values at the most; the model has 5,000,000,000"):
        TopKCodec(TopKOptions()).form(5_000_000_000)


@pytest.mark.parametrize(
    ("codec", "changes", "fault"),
    [
        (INT8, {"values": (3, -128)}, "a value is -128 steps"),
        (INT8, {"scales": (1, np.nan)}, "1 of its 2 scales are no finite numbers of at least 0"),
        (INT8, {"scales": (0, -1)}, "1 of its 2 scales are no finite"),
        (TopKCodec(TopKOptions()), {"indices": (0, 2000)}, "its indices do not increase"),
        (TopKCodec(TopKOptions()), {"indices": (1, 0)}, "its indices do not increase"),
        (TopKCodec(TopKOptions()), {"indices": (-1, 2000)}, "it has a value at 2000, of 2000 values"),
    ],
    ids=["-128", "NaN", "negative", "falling", "twice", "out of range"],
)
def test_what_no_encoder_makes_is_told(codec, changes, fault):
    update = np.linspace(1, 2, 2000, dtype=np.float32)[::-1].copy()
    coded = {name: array.copy() for name, array in codec.encode(update, 0).items()}
    assert codec.fault(coded, update.size) is None
    for name, (place, value) in changes.items():
        coded[name][place] = value
    assert fault in codec.fault(coded, update.size)


def test_a_falling_index_is_found_between_what_is_looked_at_together():
    codec = TopKCodec(TopKOptions(fraction=1))
    size = (1 << 15) + 5
    coded = {"indices": np.arange(size, dtype=np.uint32), "values": np.ones(size, np.float32)}
    assert codec.fault(coded, size) is None
    coded["indices"][1 << 15] = (1 << 15) - 1
    assert codec.fault(coded, size) == "its indices do not increase"


@pytest.mark.parametrize("codec", [FLOAT16, BFLOAT16, INT8, TopKCodec(TopKOptions(fraction=0.1))])
def test_with_feedback_all_is_sent_in_the_end(codec):
    assert codec.feedback
    wanted, sent, lost = normal(5000), np.zeros(5000), np.zeros(5000, np.float32)
    for number in range(30):
        update = (wanted if number == 0 else np.zeros(5000, np.float32)) + lost
        coded = there_and_back(codec, update, number)
        sent += coded
        lost = update - coded
    np.testing.assert_allclose(sent, wanted, rtol=0, atol=2.0**-25)  # half of the smallest float16


@pytest.mark.parametrize(
    ("made", "options"),
    [(Float16Codec, HalfOptions), (Bfloat16Codec, HalfOptions), (Int8Codec, Int8Options), (TopKCodec, TopKOptions)],
)
def test_feedback_can_be_left_out(made, options):
    assert not made(options(error_feedback=False)).feedback
