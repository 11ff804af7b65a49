"""Checking the body of an update before it may count."""

import hashlib
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import Arrays
from tierwise.core.errors import LayoutError, MalformedUpdateError, ProtocolError
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.core.weights import all_finite

BLOCK: Final = 1 << 20
"""Values that are looked at together, so that checking takes no memory to speak of."""
BLOCK_BYTES: Final = 4 * BLOCK


def check_update(
    body: bytes | memoryview,
    *,
    device: DeviceId,
    blob: BlobHash | None,
    coding: CodedUpdates,
    max_norm: float | None = None,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Check an update, whose hash, form and values must be right.

    Parameters
    ----------
    body
        What the device sent.
    device
        Its sender, for the error's text.
    blob
        The hash that the sender gave; None for a body that is vouched for, and is not hashed.
    coding
        What updates of the group are.
    max_norm
        The Euclidean norm of the update at the most; None for any.
    between
        Called after each part of ``body`` that was read.

    Raises
    ------
    MalformedUpdateError
        If the body is damaged, of another codec or layout, nothing that the codec makes, has values that are not
        finite, or is too large.
    """
    subject = f"the update of device {device!r}"
    if blob is not None and _hashed(memoryview(body), between) != blob:
        raise MalformedUpdateError(f"{subject} does not have the hash {blob[:12]!r} that its header names")
    try:
        arrays = coding.read(body, subject)
    except (ProtocolError, LayoutError) as error:
        raise MalformedUpdateError(f"{subject} cannot be used: {error}") from error
    size = coding.layout.size
    if (fault := coding.codec.fault(arrays, size)) is not None:
        raise MalformedUpdateError(f"{subject} cannot be used: {fault}")
    between()
    _check_values(coding, arrays, subject, max_norm, between)


def _hashed(body: memoryview, between: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(body), BLOCK_BYTES):
        digest.update(body[start : start + BLOCK_BYTES])
        between()
    return digest.hexdigest()


def _check_values(
    coding: CodedUpdates, arrays: Arrays, subject: str, max_norm: float | None, between: Callable[[], None]
) -> None:
    bad, square = 0, 0.0
    for _, block in coding.blocks(arrays, BLOCK):
        if not all_finite(block):
            bad += block.size - int(np.count_nonzero(np.isfinite(block)))
        if max_norm is not None and not bad:
            square += float(np.sum(np.square(block, dtype=np.float64)))
        between()
    if bad:
        raise MalformedUpdateError(f"{subject} has {bad} values that are not finite")
    norm = math.sqrt(square)
    if max_norm is not None and norm > max_norm:
        raise MalformedUpdateError(f"{subject} has a norm of {norm:.4g}, at most {max_norm:g} is allowed")
