import numpy as np
from numpy.typing import NDArray

LEVELS: int

def use_level(level: int) -> None: ...
def weighted_sum(
    buffers: tuple[NDArray[np.float32], ...],
    coefficients: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
