"""The learners of a federation's tiers."""

from tierwise.core.ids import TierName
from tierwise.core.learning import Learner
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.plugins.manager import Plugins


class Learners:
    """Makes the learner of each tier, once; since learners are pure, one serves all who compute with the tier.

    Parameters
    ----------
    plugins
        Where learners are looked up.
    task
        What they learn.
    """

    def __init__(self, plugins: Plugins, task: Task) -> None:
        self._plugins = plugins
        self._task = task
        self._made: dict[TierName, Learner] = {}

    def __call__(self, tier: Tier) -> Learner:
        """Return a tier's learner.

        Raises
        ------
        PluginError, ConfigurationError
            If it cannot be made.
        """
        if tier.name not in self._made:
            self._made[tier.name] = self._plugins.learner(tier.learner, tier.options, self._task)
        return self._made[tier.name]
