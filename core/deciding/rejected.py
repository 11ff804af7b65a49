"""The machine's no."""

from tierwise.core.events import Refusal


class Rejected(Exception):  # noqa: N818  (an answer, not an error: the driver turns it into a notice)
    """Raised by a decision that rejects its input; the state is as it was.

    Attributes
    ----------
    refusal
        For programs.
    reason
        For people.
    """

    def __init__(self, refusal: Refusal, reason: str) -> None:
        self.refusal = refusal
        self.reason = reason
        super().__init__(f"{refusal}: {reason}")
