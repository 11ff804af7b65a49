from typing import Any

import numpy as np
from numpy.typing import NDArray

def alike(buffers: tuple[NDArray[Any], ...], dtype: np.dtype[Any], out: NDArray[Any]) -> bool: ...
