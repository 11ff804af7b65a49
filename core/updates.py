"""Checking the body of an update before it may count."""

import hashlib
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tierwise.core.errors import LayoutError, MalformedUpdateError, ProtocolError
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.core.weights import Buffer, Layout, Weights, all_finite

BLOCK: Final = 1 << 20
"""Values that are looked at together, so that checking takes no memory to speak of."""
BLOCK_BYTES: Final = 4 * BLOCK


def check_update(
    body: bytes | memoryview,
    *,
    device: DeviceId,
    blob: BlobHash | None,
    layout: Layout,
    max_norm: float | None = None,
    between: Callable[[], None] = lambda: None,
) -> Weights:
    """Read an update, whose hash, layout and values must be right.

    Parameters
    ----------
    body
        What the device sent.
    device
        Its sender, for the error's text.
    blob
        The hash that the sender gave; None for a body that is vouched for, and is not hashed.
    layout
        Of the group's model; the update has the part of it that is aggregated.
    max_norm
        The Euclidean norm of the update at the most; None for any.
    between
        Called after each part of ``body`` that was read.

    Returns
    -------
    Weights
        A read-only view of ``body``.

    Raises
    ------
    MalformedUpdateError
        If the body is damaged, of another layout, has values that are not finite, or is too large.
    """
    subject = f"the update of device {device!r}"
    if blob is not None and _hashed(memoryview(body), between) != blob:
        raise MalformedUpdateError(f"{subject} does not have the hash {blob[:12]!r} that its header names")
    try:
        delta = unframe(body)
        layout.aggregated.require(delta.layout, subject)
    except (ProtocolError, LayoutError) as error:
        raise MalformedUpdateError(f"{subject} cannot be used: {error}") from error
    _check_values(delta.buffer, subject, max_norm, between)
    return delta


def _hashed(body: memoryview, between: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(body), BLOCK_BYTES):
        digest.update(body[start : start + BLOCK_BYTES])
        between()
    return digest.hexdigest()


def _check_values(values: Buffer, subject: str, max_norm: float | None, between: Callable[[], None]) -> None:
    if max_norm is None and values.size <= BLOCK and all_finite(values):
        return  # as nearly every update is
    bad, square = 0, 0.0
    for start in range(0, values.size, BLOCK):
        block = values[start : start + BLOCK]
        bad += block.size - int(np.count_nonzero(np.isfinite(block)))
        if max_norm is not None and not bad:
            square += float(np.sum(np.square(block, dtype=np.float64)))
        between()
    if bad:
        raise MalformedUpdateError(f"{subject} has {bad} values that are not finite")
    norm = math.sqrt(square)
    if max_norm is not None and norm > max_norm:
        raise MalformedUpdateError(f"{subject} has a norm of {norm:.4g}, at most {max_norm:g} is allowed")
