"""The learners of a federation's tiers."""

from tierwise.core.ids import TierName
from tierwise.core.learning import Learner
from tierwise.core.standardising import standardising
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
            learner = self._plugins.learner(tier.learner, tier.options, self._task)
            standardise = self._task.standardise
            self._made[tier.name] = standardising(learner, self._task.features) if standardise else learner
        return self._made[tier.name]
