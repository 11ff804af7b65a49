"""Weights: one contiguous float32 buffer and the layout that names its parts.

An aggregation is one pass over one array, whatever the number of tensors. A model, an update and a server
optimizer's moment all have this form.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from math import prod

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import LayoutError
from tierwise.core.ids import BlobHash

Buffer = NDArray[np.float32]


def all_finite(values: Buffer) -> bool:
    """Tell whether there is neither an infinity nor a NaN among some values, shape ``(n,)``."""
    with np.errstate(over="ignore", invalid="ignore"):
        return all_finite_quietly(values)


def all_finite_quietly(values: Buffer) -> bool:
    """Tell the same, where floating-point errors are ignored already."""
    # A sum of squares shows both, and is one pass without an array of its own. Large values may overflow there.
    return math.isfinite(np.dot(values, values)) or bool(np.isfinite(values).all())


class Role(StrEnum):
    """What a federation does with a tensor."""

    AGGREGATE = "aggregate"
    """Trained on the devices, sent, and averaged."""
    LOCAL = "local"
    """Trained on a device and kept there (the statistics of a batch normalisation)."""
    STATIC = "static"
    """The same for all, never trained."""


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor's place in a layout.

    Attributes
    ----------
    name
        Unique in its layout.
    shape
        Of at least one axis; a scalar is ``(1,)``.
    dtype
        The learner's own dtype, as NumPy spells it; the buffer is float32 in any case.
    role
        What a federation does with it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Role = Role.AGGREGATE

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


class Layout(msgspec.Struct, frozen=True, dict=True):
    """Tensors in the order of their names, one after the other without gaps.

    Attributes
    ----------
    tensors
        Sorted by name.

    Raises
    ------
    LayoutError
        If names are not sorted or not unique, or an axis has no elements.
    """

    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in self.tensors]
        if names != sorted(set(names)):
            raise LayoutError(f"a layout's tensors have unique names in sorted order, got {names}")
        if "__metadata__" in names:
            raise LayoutError("a tensor cannot be named '__metadata__': the safetensors format keeps that name")
        for tensor in self.tensors:
            if not tensor.shape or min(tensor.shape) < 1:
                raise LayoutError(f"tensor {tensor.name!r} has shape {tensor.shape}: each axis needs an element")

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> "Layout":
        """Make a layout of float32 tensors, all to be aggregated, from their shapes in any order."""
        return cls(tuple(TensorSpec(name=name, shape=shapes[name]) for name in sorted(shapes)))

    @cached_property
    def size(self) -> int:
        """Number of elements of the buffer."""
        return sum(tensor.size for tensor in self.tensors)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each tensor stands in the buffer."""
        places, start = {}, 0
        for tensor in self.tensors:
            places[tensor.name] = slice(start, start + tensor.size)
            start += tensor.size
        return places

    @cached_property
    def aggregated(self) -> "Layout":
        """The tensors that are aggregated: the layout of an update."""
        return self.part(Role.AGGREGATE)

    def part(self, role: Role) -> "Layout":
        """Return the layout of the tensors of one role; the layout itself if that is all of them."""
        return self._parts[role] or self

    @cached_property
    def _parts(self) -> dict[Role, "Layout | None"]:
        """The layouts of the roles; None for the layout itself, which would else keep itself alive."""
        kept = {role: tuple(tensor for tensor in self.tensors if tensor.role is role) for role in Role}
        return {role: None if tensors == self.tensors else Layout(tensors) for role, tensors in kept.items()}

    def require(self, other: "Layout", subject: str) -> None:
        """Raise a `LayoutError` that names the first difference unless ``other`` equals this layout.

        Parameters
        ----------
        other
            The layout that was found.
        subject
            What has it, to begin the sentence with: ``"the update of device 'a'"``.
        """
        if other == self:
            return
        expected, found = ({t.name: t for t in layout.tensors} for layout in (self, other))
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                raise LayoutError(f"{subject} lacks tensor {name!r} of shape {expected[name].shape}")
            if name not in expected:
                raise LayoutError(f"{subject} has a tensor {name!r} that the model has not")
            if expected[name] != found[name]:
                raise LayoutError(
                    f"{subject}: tensor {name!r} has {_describe(found[name])}, expected {_describe(expected[name])}"
                )


def _describe(tensor: TensorSpec) -> str:
    return f"shape {tensor.shape}, dtype {tensor.dtype} and role {tensor.role.value}"


class Weights:
    """A buffer and its layout.

    Parameters
    ----------
    layout
        Names the buffer's parts.
    buffer
        Shape ``(layout.size,)``, float32, C-contiguous. It is not copied: who hands it over stops writing to it,
        unless it is theirs to train in.

    Raises
    ------
    LayoutError
        If the buffer has another shape or dtype.
    """

    __slots__ = ("_identity", "buffer", "layout")

    def __init__(self, layout: Layout, buffer: Buffer) -> None:
        if buffer.dtype != np.float32 or buffer.shape != (layout.size,) or not buffer.flags.c_contiguous:
            raise LayoutError(
                f"a contiguous buffer of shape ({layout.size},) and dtype float32 is needed, got shape "
                f"{buffer.shape}, strides {buffer.strides} and dtype {buffer.dtype}"
            )
        self.layout = layout
        self.buffer = buffer
        self._identity: BlobHash | None = None

    @classmethod
    def zeros(cls, layout: Layout) -> "Weights":
        """Make weights that are all zero, writable."""
        return cls(layout, np.zeros(layout.size, np.float32))

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.floating]]) -> "Weights":
        """Copy named arrays into one buffer; all are to be aggregated."""
        layout = Layout.of({name: array.shape or (1,) for name, array in arrays.items()})
        weights = cls.zeros(layout)
        for name, view in weights.items():
            view[...] = arrays[name]
        return weights

    def __getitem__(self, name: str) -> Buffer:
        """Return a tensor as a view of the buffer, in its own shape."""
        for tensor in self.layout.tensors:
            if tensor.name == name:
                return self.buffer[self.layout.slices[name]].reshape(tensor.shape)
        raise KeyError(name)

    def items(self) -> Iterator[tuple[str, Buffer]]:
        """Yield each tensor's name and view, in the layout's order."""
        for tensor in self.layout.tensors:
            yield tensor.name, self.buffer[self.layout.slices[tensor.name]].reshape(tensor.shape)

    def __eq__(self, other: object) -> bool:
        """Compare layout and bytes: a NaN equals the same NaN, 0.0 is not -0.0."""
        if not isinstance(other, Weights):
            return NotImplemented
        return self.layout == other.layout and self.buffer.tobytes() == other.buffer.tobytes()

    __hash__ = None  # type: ignore[assignment]  # a buffer may change

    def __repr__(self) -> str:
        return f"Weights({len(self.layout.tensors)} tensors, {self.layout.size} elements)"

    @property
    def identity(self) -> BlobHash:
        """Hexadecimal sha256 of the canonical frame, that is of layout and buffer.

        Computed once: read it only when nobody writes to the buffer any more.
        """
        if self._identity is None:
            from tierwise.core.framing import frame

            digest = hashlib.sha256()
            for part in frame(self):
                digest.update(part)
            self._identity = BlobHash(digest.hexdigest())
        return self._identity

    def copy(self) -> "Weights":
        """Return writable weights with a buffer of their own."""
        return Weights(self.layout, self.buffer.copy())

    def part(self, role: Role) -> "Weights":
        """Return the tensors of one role: these weights themselves if that is all of them, else a copy."""
        layout = self.layout.part(role)
        if layout is self.layout:
            return self
        parts = [self.buffer[self.layout.slices[tensor.name]] for tensor in layout.tensors]
        return Weights(layout, np.concatenate(parts) if parts else np.zeros(0, np.float32))

    def replaced(self, part: "Weights") -> "Weights":
        """Return these weights with the tensors of ``part`` put in place of their own.

        Raises
        ------
        LayoutError
            If ``part`` has a tensor that these weights have not, or of another shape.
        """
        if part.layout == self.layout:
            return part
        result = self.copy()
        own = {tensor.name: tensor for tensor in self.layout.tensors}
        for tensor in part.layout.tensors:
            if own.get(tensor.name) != tensor:
                raise LayoutError(f"tensor {tensor.name!r} of shape {tensor.shape} is not in {self!r}")
            result.buffer[self.layout.slices[tensor.name]] = part.buffer[part.layout.slices[tensor.name]]
        return result
