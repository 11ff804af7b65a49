"""The arithmetic of a multi-layer perceptron whose tensors are views of one contiguous buffer.

Two ideas make it quick where models are small and NumPy's cost per call is all that counts. A layer's bias sorts
directly before its weight, so both together are one matrix of shape ``(inputs + 1, outputs)`` in the buffer, the
bias its first row; and activations carry a leading column of ones. One matrix product is then a whole affine map
forward, another one its whole gradient. And the steps of all layers are views of one buffer of the same layout, so
a descent is a single subtraction. All scratch arrays are made once for a fit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.weights import Buffer, Layout, Weights

_DOT_BELOW: Final = 16384
"""Elements of a product's result from which on the zeros that `dot` writes cost more than a call to `matmul`."""
_AT_ONCE: Final = 512
"""Samples of one forward pass of `outputs_of`: bounds its memory whatever the number of samples."""


def network_layout(sizes: Sequence[int]) -> Layout:
    """Name the tensors of a network with layers of ``sizes``, features first and outputs last.

    Layer numbers are padded with zeros: names sort as text, and the buffer must have the layers in their order.
    """
    digits = len(str(len(sizes) - 2))
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        shapes[f"{layer:0{digits}}.bias"] = (outputs,)
        shapes[f"{layer:0{digits}}.weight"] = (inputs, outputs)
    return Layout.of(shapes)


def affine_matrices(sizes: Sequence[int], buffer: Buffer) -> list[Buffer]:
    """Return each layer's ``(inputs + 1, outputs)`` view of a buffer, the bias in the first row."""
    matrices, start = [], 0
    for inputs, outputs in pairwise(sizes):
        stop = start + (inputs + 1) * outputs
        matrices.append(buffer[start:stop].reshape(inputs + 1, outputs))
        start = stop
    return matrices


def initial_weights(sizes: Sequence[int], seed: int) -> Weights:
    """Draw weights from a normal distribution of variance ``2 / inputs``; biases are zero.

    He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852, equation 10.
    """
    random = np.random.default_rng(seed)
    weights = Weights.zeros(network_layout(sizes))
    for matrix in affine_matrices(sizes, weights.buffer):
        inputs = len(matrix) - 1
        matrix[1:] = random.standard_normal((inputs, matrix.shape[1]), np.float32)
        matrix[1:] *= np.float32(np.sqrt(2 / inputs))
    return weights


def inputs_for(samples: int, features: int) -> Buffer:
    """Return an array for inputs, ``(samples, features + 1)``, with its leading ones."""
    inputs = np.empty((samples, features + 1), np.float32)
    inputs[:, 0] = 1
    return inputs


def outputs_of(sizes: Sequence[int], weights: Weights, features: NDArray[np.float32]) -> Iterator[Buffer]:
    """Yield the outputs of a block of samples after the other, at least one block; each is valid until the next."""
    matrices = affine_matrices(sizes, weights.buffer)
    at_once = min(len(features), _AT_ONCE)
    scratch, inputs = Scratch.of(sizes, at_once), inputs_for(at_once, sizes[0])
    for first in range(0, max(len(features), 1), _AT_ONCE):
        block = features[first : first + _AT_ONCE]
        part = scratch.cut(len(block))
        inputs[: len(block), 1:] = block
        with np.errstate(over="ignore", invalid="ignore"):
            forward(matrices, inputs[: len(block)], part)
        yield part.outputs


@dataclass(frozen=True, slots=True)
class Scratch:
    """The arrays of one pass over up to ``len(outputs)`` samples; a hidden layer has ``h`` units.

    Attributes
    ----------
    hidden
        Activations of each hidden layer, ``(n, h + 1)``, a leading column of ones.
    written
        The same without the ones: where the matrix product goes.
    errors
        The loss's derivative by those activations, ``(n, h + 1)``; its first column means nothing.
    passed
        The same without the first column.
    outputs
        Outputs, and then what becomes of them, ``(n, classes)``.
    column
        One value for each sample, ``(n, 1)``.
    """

    hidden: list[Buffer]
    written: list[Buffer]
    errors: list[Buffer]
    passed: list[Buffer]
    outputs: Buffer
    column: Buffer

    @classmethod
    def of(cls, sizes: Sequence[int], samples: int) -> "Scratch":
        """Make the arrays for passes over ``samples`` samples."""
        hidden = [np.ones((samples, size + 1), np.float32) for size in sizes[1:-1]]
        errors = [np.empty_like(array) for array in hidden]
        return cls._over(hidden, errors, np.empty((samples, sizes[-1]), np.float32), np.empty((samples, 1), np.float32))

    @classmethod
    def _over(cls, hidden: list[Buffer], errors: list[Buffer], outputs: Buffer, column: Buffer) -> "Scratch":
        return cls(
            hidden,
            [array[:, 1:] for array in hidden],
            errors,
            [array[:, 1:] for array in errors],
            outputs,
            column,
        )

    def cut(self, samples: int) -> "Scratch":
        """Return views for a pass over fewer samples."""
        return self._over(
            [array[:samples] for array in self.hidden],
            [array[:samples] for array in self.errors],
            self.outputs[:samples],
            self.column[:samples],
        )


def forward(matrices: Sequence[Buffer], inputs: Buffer, scratch: Scratch) -> None:
    """Compute ``scratch.outputs`` for inputs that have a leading column of ones."""
    for matrix, hidden, written in zip(matrices, scratch.hidden, scratch.written, strict=False):
        np.matmul(inputs, matrix, written)  # elsewhere `dot`, which is quicker, but takes no such slice for its result
        np.maximum(hidden, 0.0, out=hidden)  # the ones stay: contiguous is quicker than leaving them out
        inputs = hidden
    np.dot(inputs, matrices[-1], scratch.outputs)


def softmax(scratch: Scratch) -> None:
    """Make probabilities of the outputs; the greatest is taken off first, so that no exponential can overflow."""
    outputs, column = scratch.outputs, scratch.column
    np.maximum.reduce(outputs, 1, out=column, keepdims=True)
    np.subtract(outputs, column, outputs)
    np.exp(outputs, outputs)
    np.add.reduce(outputs, 1, out=column, keepdims=True)
    np.divide(outputs, column, outputs)


def identity(scratch: Scratch) -> None:
    """Leave the outputs as they are."""


def compute_step(
    matrices: Sequence[Buffer],
    inputs: Buffer,
    targets: Buffer,
    rate: float,
    answer: Callable[[Scratch], None],
    scratch: Scratch,
    steps: Sequence[Buffer],
) -> None:
    """Set ``steps`` to ``rate`` times the gradient of the mean loss over a minibatch.

    Parameters
    ----------
    matrices, steps
        Of the model and of the step, by `affine_matrices`.
    inputs, targets
        ``(n, features + 1)`` with leading ones, and ``(n, outputs)``.
    rate
        The learning rate.
    answer
        Makes answers of the outputs, which tells the loss: `softmax` cross-entropy, `identity` half the squared error.
    scratch
        For exactly ``n`` samples.
    """
    forward(matrices, inputs, scratch)
    answer(scratch)
    error = scratch.outputs
    np.subtract(error, targets, error)  # of both losses: the answer less the target
    # Everything behind is linear in the error, so the rate goes in here, where the arrays are smallest.
    np.multiply(error, rate / len(inputs), error)
    for layer in range(len(scratch.hidden) - 1, -1, -1):
        hidden, below = scratch.hidden[layer], scratch.errors[layer]
        _gradient_product(steps[layer + 1])(hidden.T, error, steps[layer + 1])
        np.dot(error, matrices[layer + 1].T, below)
        np.sign(hidden, hidden)  # the rectifier's derivative: 1 where it let through, 0 where not
        np.multiply(below, hidden, below)
        error = scratch.passed[layer]
    _gradient_product(steps[0])(inputs.T, error, steps[0])


def _gradient_product(step: Buffer) -> Callable[[Buffer, Buffer, Buffer], object]:
    """Return the quicker product for a result of this size: `dot` costs less per call, but writes zeros to it first."""
    return np.dot if step.size < _DOT_BELOW else np.matmul
