"""When a commit waits for more of what is coming, and when it does not.

A commit costs the same for one update as for thirty, and those of a round come one after the other, no faster than
commits are. So one that took long has the next wait for some of its durations, as journalling file systems do: what is
acknowledged a hundredth of a second later is late for nobody. Nothing waits that a group is ready to go on with.
"""

from typing import Final

from tierwise.core import inputs as i
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.state import FederationState
from tierwise.runtime.lanes import LANES

DURATIONS: Final = 10
"""Of the last commit, which the next one waits."""
LEAST_S: Final = 0.003
"""A shorter wait does not pay: the commits are those of a store in memory."""
MOST_S: Final = 0.02


def patience(commit_s: float) -> float:
    """Return for how many seconds a commit waits, if the last one took so many; 0 for not at all."""
    wait_s = min(DURATIONS * commit_s, MOST_S)
    return wait_s if wait_s >= LEAST_S else 0.0


class Gathering:
    """What has come for the next commit.

    Parameters
    ----------
    state
        Of the federation, as the last commit left it.
    """

    def __init__(self, state: FederationState) -> None:
        cohorts = (group.cohort for group in state.groups.values() if group.cohort is not None)
        self._missing: dict[CohortId, set[DeviceId]] = {one.opened.cohort: set(one.waiting) for one in cohorts}
        self._room = LANES

    def enough(self, given: i.Input) -> bool:
        """Take note of an input, and tell whether the commit should wait for no other.

        So it is when it completes a cohort, when it is no contribution to one, and when as many wait as are looked at
        side by side: then no other can come.
        """
        if not isinstance(given, i.SubmitUpdate | i.SubmitEvaluation) or given.cohort not in self._missing:
            return True
        self._room -= 1
        missing = self._missing[given.cohort]
        missing.discard(given.device)
        return not missing or not self._room
