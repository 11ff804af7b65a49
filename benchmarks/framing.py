"""A state of 40 MB to bytes and back, beside what copies it once and beside what one would use instead.

The state is 10 million float32 in the tensors of a small convolutional network. *To bytes* is one object with all of
it, as a transport or a file takes it; *back* is named tensors, whole and usable.

- *a copy into new memory*: ``bytes()`` of the state's buffer, the least that a new object with all of it can cost;
  *into memory at hand*: ``numpy.copyto``, which need not ask the system for pages.
- *safetensors*: the library's ``save`` and ``load`` for NumPy; *numpy.save*: ``numpy.save`` and ``numpy.load`` of one
  tensor after the other in an ``io.BytesIO``.
- *memory*: the most that Python and NumPy allocate meanwhile, of which the object itself is one state.
- *hash*, *check*: what a receiver does besides, each by itself: sha256, and whether all values are finite.

Every repetition runs them all, one after the other, and ratios are medians over repetitions. Times are of the thread on
its processor.
"""

import hashlib
import io
import tracemalloc
from collections.abc import Callable, Iterator
from statistics import median
from typing import Final

import numpy as np
import safetensors.numpy
from average import timed
from numpy.typing import NDArray
from report import Row, arguments, compared, report

from tierwise.core.framing import frame, to_bytes, unframe
from tierwise.core.weights import Layout, Weights, all_finite

COPY: Final = "a copy into new memory"
AT_HAND: Final = "a copy into memory at hand"
OURS: Final = "to bytes and back"
PARTS: Final = "to header and view, and back"
SAFETENSORS: Final = "safetensors"
NUMPY: Final = "numpy.save"
HASH: Final = "sha256"
CHECK: Final = "all values are finite"


def layout(scale: int) -> Layout:
    """Return tensors with about ``scale * 100,000`` elements in all."""
    convolutions = {f"conv{number}.weight": (8 * scale, 16, 3, 3) for number in range(1, 9)}
    norms = {f"norm{number}.{part}": (8 * scale,) for number in range(1, 9) for part in ("bias", "weight")}
    return Layout.of({**convolutions, **norms, "head.bias": (1000,), "head.weight": (904 * scale, 100)})


def through_safetensors(tensors: dict[str, NDArray[np.float32]]) -> object:
    return safetensors.numpy.load(safetensors.numpy.save(tensors))


def through_numpy(tensors: dict[str, NDArray[np.float32]]) -> object:
    file = io.BytesIO()
    for tensor in tensors.values():
        np.save(file, tensor)
    file.seek(0)
    return {name: np.load(file) for name in tensors}


def allocated(run: Callable[[], object]) -> float:
    """Return the most bytes that a call has allocated at once, its result among them."""
    tracemalloc.start()
    try:
        result = run()
        most = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    return float(most)


def rows(scale: int, budget_s: float) -> Iterator[Row]:
    form = layout(scale)
    state = Weights(form, np.random.default_rng(0).standard_normal(form.size, dtype=np.float32))
    tensors, view, room = dict(state.items()), state.buffer.data, np.zeros_like(state.buffer)
    written = to_bytes(state)
    runs = {
        COPY: lambda: bytes(view),
        AT_HAND: lambda: np.copyto(room, state.buffer),
        OURS: lambda: dict(unframe(to_bytes(state)).items()),
        PARTS: lambda: (frame(state), dict(unframe(written).items())),
        SAFETENSORS: lambda: through_safetensors(tensors),
        NUMPY: lambda: through_numpy(tensors),
        HASH: lambda: hashlib.sha256(written).hexdigest(),
        CHECK: lambda: all_finite(state.buffer),
    }
    times = timed(runs, budget_s)

    def beside(ours: str, baseline: str, at_most: float | None = None) -> Row:
        return compared(
            f"{ours}: time", 1e3 * median(times[ours]), "ms",
            baseline=baseline, baseline_value=1e3 * median(times[baseline]),
            ratio=median(a / b for a, b in zip(times[ours], times[baseline], strict=True)), at_most=at_most,
        )  # fmt: skip

    yield beside(OURS, COPY, at_most=1.1)
    yield beside(OURS, AT_HAND)
    yield beside(OURS, SAFETENSORS, at_most=1.0)
    yield beside(OURS, NUMPY, at_most=1.0)
    yield beside(PARTS, COPY)
    yield beside(HASH, COPY)
    yield beside(CHECK, COPY)
    megabytes = 4e-6 * form.size
    for name, at_most in ((OURS, 1.01), (PARTS, 0.01), (SAFETENSORS, None), (NUMPY, None)):
        yield compared(
            f"{name}: memory", allocated(runs[name]) / 1e6, "MB",
            baseline="the state", baseline_value=megabytes, at_most=at_most,
        )  # fmt: skip


def main() -> None:
    options = arguments("Measure frames of a large state.").parse_args()
    scale, budget_s = (10, 0.5) if options.quick else (100, 8.0)
    count, size = len(layout(scale).tensors), layout(scale).size
    report(f"A state of {size:,} values in {count} tensors, to bytes and back", rows(scale, budget_s), options.json)


if __name__ == "__main__":
    main()
