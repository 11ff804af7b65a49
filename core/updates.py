"""Checking the body of an update before it may count."""

import hashlib

import numpy as np

from tierwise.core.errors import LayoutError, MalformedUpdateError, ProtocolError
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.core.weights import Layout, Weights


def check_update(body: bytes | memoryview, *, device: DeviceId, blob: BlobHash, layout: Layout) -> Weights:
    """Read an update, whose hash, layout and values must be right.

    Parameters
    ----------
    body
        What the device sent.
    device
        Its sender, for the error's text.
    blob
        The hash that the sender gave.
    layout
        Of the group's model; the update has the part of it that is aggregated.

    Returns
    -------
    Weights
        A read-only view of ``body``.

    Raises
    ------
    MalformedUpdateError
        If the body is damaged, of another layout, or has values that are not finite.
    """
    subject = f"the update of device {device!r}"
    if hashlib.sha256(body).hexdigest() != blob:
        raise MalformedUpdateError(f"{subject} does not have the hash {blob[:12]!r} that its header names")
    try:
        delta = unframe(body)
        layout.aggregated.require(delta.layout, subject)
    except (ProtocolError, LayoutError) as error:
        raise MalformedUpdateError(f"{subject} cannot be used: {error}") from error
    if not np.isfinite(delta.buffer).all():
        bad = int(delta.buffer.size - np.isfinite(delta.buffer).sum())
        raise MalformedUpdateError(f"{subject} has {bad} values that are not finite")
    return delta
