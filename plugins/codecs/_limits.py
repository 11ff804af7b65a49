"""Values so large that fewer bits would make them infinite."""

from typing import Final

import numpy as np

from tierwise.core.weights import Buffer

LARGEST_BFLOAT16: Final = np.float32((2 - 2**-7) * 2.0**127)
LARGEST_FLOAT16: Final = np.float32(65504)


def limited(update: Buffer, largest: np.float32) -> Buffer:
    """Return an update without larger magnitudes: itself, if it has none."""
    if not update.size or (update.max() <= largest and update.min() >= -largest):
        return update
    return np.clip(update, -largest, largest)
