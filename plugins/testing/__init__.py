"""Conformance checks: one for each contract, for authors of plugins.

Each takes an instance and returns when it keeps all laws of its contract, or raises a `ConformanceError` that names
the law that it breaks and what was seen::

    def test_conformance():
        check_grouping_policy(MemoryBandsPolicy(MemoryBandsOptions()))

They need no test framework. All inputs are made from fixed seeds, so a check that failed fails again.
"""

from tierwise.plugins.testing._codec import check_codec
from tierwise.plugins.testing._data import check_data_source
from tierwise.plugins.testing._exchange import check_exchange
from tierwise.plugins.testing._grouping import check_grouping_policy
from tierwise.plugins.testing._laws import REGRESSION_TASK, TASK, ConformanceError
from tierwise.plugins.testing._learner import check_learner
from tierwise.plugins.testing._optimizer import check_server_optimizer
from tierwise.plugins.testing._probe import check_probe
from tierwise.plugins.testing._reducer import check_reducer
from tierwise.plugins.testing._selector import check_selector
from tierwise.plugins.testing._stopping import check_stop_rule
from tierwise.plugins.testing._tiers import check_tier_provider

__all__ = [
    "REGRESSION_TASK",
    "TASK",
    "ConformanceError",
    "check_codec",
    "check_data_source",
    "check_exchange",
    "check_grouping_policy",
    "check_learner",
    "check_probe",
    "check_reducer",
    "check_selector",
    "check_server_optimizer",
    "check_stop_rule",
    "check_tier_provider",
]
