"""Updates as they are."""

from typing import Final

from tierwise.core.coding import ArrayForm, Arrays, Dtype, Form
from tierwise.core.weights import Buffer

VALUES: Final = "values"


class Float32Codec:
    """Sends each value as it is: 4 bytes."""

    @property
    def feedback(self) -> bool:
        """Nothing is lost."""
        return False

    def form(self, size: int) -> Form:
        """Return the form of the values themselves."""
        return {VALUES: ArrayForm(dtype=Dtype.F32, length=size)}

    def encode(self, update: Buffer, seed: int) -> Arrays:  # noqa: ARG002  (nothing is drawn)
        """Return the update itself."""
        return {VALUES: update}

    def fault(self, arrays: Arrays, size: int) -> str | None:  # noqa: ARG002  (it has what its form says)
        """Return None: whatever float32 values are finite can be."""
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Copy a block."""
        out[:] = arrays[VALUES][block]
