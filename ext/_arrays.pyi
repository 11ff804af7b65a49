from typing import Any

import numpy as np
from numpy.typing import NDArray

def alike(buffers: tuple[NDArray[Any], ...], dtype: np.dtype[Any], out: NDArray[Any]) -> bool: ...
def quotients(weights: NDArray[np.int64], divisor: float) -> NDArray[np.float32] | None: ...
