import numpy as np
from numpy.typing import NDArray

def weighted_sum(
    buffers: tuple[NDArray[np.float32], ...],
    coefficients: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
