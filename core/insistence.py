"""How an agent insists: what is not answered is said again."""

from dataclasses import dataclass
from typing import Final

from tierwise.core.actions import Send

RETRY_GROWTH: Final = 2.0
"""Each repetition waits twice as long as the one before, up to `AgentSettings.retry_limit_s`."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How an agent insists.

    Attributes
    ----------
    retry_s
        Seconds after which a message that was not answered is sent again for the first time; None for never, on a
        transport that loses nothing.
    retry_limit_s
        The longest such wait.
    poll_s
        Seconds after which a device that waits, and was told nothing meanwhile, asks where it stands; None for
        never, on a transport that loses nothing.
    farewell_s
        How long, in seconds, a device that is dismissed before it has its target model asks for it; then it leaves
        without.
    """

    retry_s: float | None = 5.0
    retry_limit_s: float = 60.0
    poll_s: float | None = 120.0
    farewell_s: float = 600.0


class Insistence:
    """A message that is repeated until it is answered.

    Parameters
    ----------
    send
        The message, which was sent ``now``.
    settings
        Of the agent.
    now
        In seconds.
    """

    def __init__(self, send: Send, settings: AgentSettings, now: float) -> None:
        self.send = send
        self._limit_s = settings.retry_limit_s
        self._wait_s = settings.retry_limit_s if settings.retry_s is None else settings.retry_s
        self.due_at = now + self._wait_s

    def repeat(self, now: float) -> Send:
        """Return the message, to be sent again, and wait longer the next time."""
        self._wait_s = min(self._wait_s * RETRY_GROWTH, self._limit_s)
        self.due_at = now + self._wait_s
        return self.send

    def slow_down(self, now: float) -> None:
        """Repeat it now and then only."""
        self._wait_s = self._limit_s
        self.due_at = now + self._wait_s
