"""Layouts, and weights that are views of one buffer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.errors import LayoutError
from tierwise.core.weights import Layout, Role, TensorSpec, Weights, all_finite

shapes = st.dictionaries(
    st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=4),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    max_size=6,
)

MIXED = Layout(
    (
        TensorSpec(name="a", shape=(2,)),
        TensorSpec(name="b", shape=(3,), role=Role.LOCAL),
        TensorSpec(name="c", shape=(2, 2)),
        TensorSpec(name="d", shape=(1,), role=Role.STATIC),
    )
)


def counted(layout: Layout) -> Weights:
    return Weights(layout, np.arange(layout.size, dtype=np.float32))


# -- layouts


@given(shapes)
@settings(deadline=None)
def test_tensors_fill_the_buffer_in_the_order_of_their_names_without_gaps(shapes: dict[str, tuple[int, ...]]) -> None:
    layout = Layout.of(shapes)
    assert [tensor.name for tensor in layout.tensors] == sorted(shapes)
    end = 0
    for tensor in layout.tensors:
        place = layout.slices[tensor.name]
        assert place.start == end
        assert place.stop - place.start == tensor.size == np.prod(tensor.shape)
        end = place.stop
    assert end == layout.size


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ([("b", (1,)), ("a", (1,))], r"unique names in sorted order, got \['b', 'a'\]"),
        ([("a", (1,)), ("a", (1,))], r"unique names in sorted order, got \['a', 'a'\]"),
        ([("__metadata__", (1,))], "cannot be named '__metadata__'"),
        ([("a", ())], r"tensor 'a' has shape \(\): each axis needs an element"),
        ([("a", (2, 0))], r"tensor 'a' has shape \(2, 0\)"),
        ([("a", (-1,))], r"tensor 'a' has shape \(-1,\)"),
    ],
)
def test_a_layout_that_cannot_be(tensors: list[tuple[str, tuple[int, ...]]], complaint: str) -> None:
    with pytest.raises(LayoutError, match=complaint):
        Layout(tuple(TensorSpec(name=name, shape=shape) for name, shape in tensors))


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ({"a": (2,)}, r"the update of 'x' lacks tensor 'b' of shape \(3,\)"),
        ({"a": (2,), "b": (3,), "c": (1,)}, "the update of 'x' has a tensor 'c' that the model has not"),
        (
            {"a": (2,), "b": (4,)},
            r"tensor 'b' has shape \(4,\), dtype float32 and role aggregate, expected shape \(3,\), dtype float32",
        ),
    ],
)
def test_the_first_difference_between_layouts_is_named(found: dict[str, tuple[int, ...]], complaint: str) -> None:
    expected = Layout.of({"a": (2,), "b": (3,)})
    expected.require(Layout.of({"b": (3,), "a": (2,)}), "the same")
    with pytest.raises(LayoutError, match=complaint):
        expected.require(Layout.of(found), "the update of 'x'")


@pytest.mark.parametrize("change", [{"role": Role.LOCAL}, {"dtype": "float64"}])
def test_role_and_dtype_are_part_of_a_layout(change: dict[str, object]) -> None:
    with pytest.raises(LayoutError, match="tensor 'a' has"):
        Layout.of({"a": (2,)}).require(Layout((TensorSpec(name="a", shape=(2,), **change),)), "it")  # type: ignore[arg-type]


def test_the_part_of_a_role() -> None:
    assert [tensor.name for tensor in MIXED.aggregated.tensors] == ["a", "c"]
    assert [tensor.name for tensor in MIXED.part(Role.LOCAL).tensors] == ["b"]
    assert MIXED.aggregated.aggregated is MIXED.aggregated
    assert MIXED.part(Role.LOCAL).aggregated.size == 0


# -- weights


def test_tensors_are_views_of_the_buffer_in_their_own_shape() -> None:
    weights = Weights.of({"w": np.arange(6).reshape(2, 3), "b": np.array([7.0, 8.0, 9.0])})
    assert weights.buffer.tolist() == [7, 8, 9, 0, 1, 2, 3, 4, 5]
    assert weights["w"].shape == (2, 3)
    for name, view in weights.items():
        assert np.shares_memory(view, weights.buffer)
        assert np.shares_memory(weights[name], view)
    weights["w"][1, 2] = -1
    assert weights.buffer[8] == -1
    with pytest.raises(KeyError, match="x"):
        weights["x"]


def test_named_arrays_are_copied_and_a_scalar_gets_an_axis() -> None:
    array = np.ones(2)
    weights = Weights.of({"a": array, "s": np.float64(3.0)})
    array[0] = 5
    assert weights["a"].tolist() == [1, 1]
    assert weights["s"].tolist() == [3]


@pytest.mark.parametrize(
    "buffer",
    [
        np.zeros(4, np.float64),
        np.zeros(4, ">f4"),
        np.zeros(3, np.float32),
        np.zeros((2, 2), np.float32),
        np.zeros(8, np.float32)[::2],
    ],
    ids=["float64", "big-endian", "short", "two axes", "strided"],
)
def test_a_buffer_that_does_not_fit_is_refused(buffer: np.ndarray) -> None:
    with pytest.raises(LayoutError, match=r"contiguous buffer of shape \(4,\) and dtype float32 is needed, got shape"):
        Weights(Layout.of({"a": (4,)}), buffer)


def test_the_buffer_that_is_handed_over_is_not_copied() -> None:
    buffer = np.zeros(4, np.float32)
    assert Weights(Layout.of({"a": (4,)}), buffer).buffer is buffer


def test_equal_means_the_same_layout_and_bytes() -> None:
    layout = Layout.of({"a": (2,)})

    def of(*values: float) -> Weights:
        return Weights(layout, np.array(values, np.float32))

    assert of(1, np.nan) == of(1, np.nan)
    assert of(1, 0.0) != of(1, -0.0)
    assert of(1, 2) != Weights(Layout.of({"b": (2,)}), np.array([1, 2], np.float32))
    assert of(1, 2) != "weights"
    with pytest.raises(TypeError, match="unhashable"):
        hash(of(1, 2))


def test_weights_show_their_size_not_their_values() -> None:
    assert repr(counted(MIXED)) == "Weights(4 tensors, 10 elements)"


def test_the_identity_tells_layout_and_values_apart() -> None:
    one = Weights.of({"a": np.ones(2)})
    others = [
        Weights.of({"a": np.array([1.0, 2.0])}),
        Weights.of({"b": np.ones(2)}),
        Weights.of({"a": np.ones((2, 1))}),
        Weights(Layout((TensorSpec(name="a", shape=(2,), role=Role.LOCAL),)), np.ones(2, np.float32)),
    ]
    assert len({one.identity, *(other.identity for other in others)}) == 5
    assert Weights.of({"a": np.ones(2)}).identity == one.identity


def test_a_copy_has_a_buffer_of_its_own_and_is_writable() -> None:
    original = counted(MIXED)
    original.buffer.flags.writeable = False
    copy = original.copy()
    assert copy == original
    copy.buffer[0] = 9
    assert original.buffer[0] == 0


def test_a_part_is_gathered_and_put_back() -> None:
    weights = counted(MIXED)
    part = weights.part(Role.AGGREGATE)
    assert part.layout == MIXED.aggregated
    assert part.buffer.tolist() == [0, 1, 5, 6, 7, 8]
    assert not np.shares_memory(part.buffer, weights.buffer)
    part.buffer[:] = -1
    replaced = weights.replaced(part)
    assert replaced.buffer.tolist() == [-1, -1, 2, 3, 4, -1, -1, -1, -1, 9]
    assert weights == counted(MIXED)


def test_the_part_that_is_all_is_no_copy() -> None:
    weights = counted(MIXED.aggregated)
    assert weights.part(Role.AGGREGATE) is weights
    other = counted(MIXED.aggregated)
    assert weights.replaced(other) is other


def test_a_role_that_no_tensor_has_gives_an_empty_part() -> None:
    part = counted(MIXED.aggregated).part(Role.STATIC)
    assert part.buffer.shape == (0,)
    assert counted(MIXED).replaced(part) == counted(MIXED)


@pytest.mark.parametrize("spec", [TensorSpec(name="x", shape=(2,)), TensorSpec(name="a", shape=(1,))])
def test_a_part_of_something_else_is_refused(spec: TensorSpec) -> None:
    with pytest.raises(LayoutError, match=f"tensor '{spec.name}' of shape"):
        counted(MIXED).replaced(Weights.zeros(Layout((spec,))))


@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([], True),
        ([0.0, -1.0], True),
        ([3e38, 3e38, -3e38], True),  # whose squares are not
        ([1.0, float("nan")], False),
        ([float("inf"), float("-inf")], False),
        ([3e38, float("nan")], False),
    ],
)
def test_what_is_not_finite_is_found(values, finite):
    assert all_finite(np.array(values, np.float32)) is finite
