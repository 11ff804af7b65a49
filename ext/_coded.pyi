import numpy as np
from numpy.typing import NDArray

LEVELS: int

def use_level(level: int) -> None: ...
def weighted_sum_float16(
    values: tuple[NDArray[np.float16], ...], coefficients: NDArray[np.float32], out: NDArray[np.float32]
) -> None: ...
def weighted_sum_bfloat16(
    values: tuple[NDArray[np.uint16], ...], coefficients: NDArray[np.float32], out: NDArray[np.float32]
) -> None: ...
def weighted_sum_int8(
    values: tuple[NDArray[np.int8], ...],
    scales: tuple[NDArray[np.float32], ...],
    coefficients: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
def weighted_sum_sparse(
    indices: tuple[NDArray[np.uint32], ...],
    values: tuple[NDArray[np.float32], ...],
    coefficients: NDArray[np.float32],
    out: NDArray[np.float32],
    start: int,
) -> int: ...
def encode_int8(
    values: NDArray[np.float32], key: tuple[int, int], steps: NDArray[np.int8], scales: NDArray[np.float32]
) -> int: ...
def decode_int8(steps: NDArray[np.int8], scales: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...
def encode_bfloat16(values: NDArray[np.float32], out: NDArray[np.uint16]) -> None: ...
def decode_bfloat16(values: NDArray[np.uint16], out: NDArray[np.float32]) -> None: ...
