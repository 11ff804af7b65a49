"""Judging inputs: what the federation makes of each, as events; or why it rejects it.

A decision reads the state and changes nothing. It returns the events of *one* step, which the log takes as one;
what follows from them (a cohort is complete, so it closes; every group has ended, so the federation does) is
decided by the next `tierwise.core.inputs.Tick`, on the state that they led to.
"""

from collections.abc import Callable
from typing import Any, Final

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding import answers, consequences, contributions, devices
from tierwise.core.deciding.rejected import Rejected
from tierwise.core.state import FederationState, Stage

__all__ = ["Rejected", "judge"]


def judge(state: FederationState, given: i.Input, now: float) -> tuple[e.Event, ...]:
    """Return what ``given`` leads to at ``now`` (federation time, seconds).

    Raises
    ------
    Rejected
        If it leads to nothing, and why.
    """
    if state.stage is Stage.UNOPENED and not isinstance(given, i.OpenFederation):
        raise Rejected(e.Refusal.OUT_OF_PLACE, "the federation is not open yet")
    if state.stage in (Stage.FINISHED, Stage.FAILED) and not isinstance(given, i.Tick):
        if isinstance(given, i.SubmitUpdate | i.SubmitEvaluation):
            contributions.reject_repetition(state, given)
        raise Rejected(e.Refusal.LATE, "the federation has ended")
    return _DECISIONS[type(given)](state, given, now)


# Each function takes the input of its row; the table is what the type checker cannot see.
_DECISIONS: Final[dict[type[i.Input], Callable[[FederationState, Any, float], tuple[e.Event, ...]]]] = {
    i.OpenFederation: devices.open_federation,
    i.ChangePolicies: devices.change_policies,
    i.EnrolDevice: devices.enrol,
    i.ReportHardware: devices.report_hardware,
    i.LoseDevice: devices.lose,
    i.RemoveDevice: devices.remove,
    i.ReportFault: contributions.report_fault,
    i.ReleaseDevice: devices.release,
    i.SubmitUpdate: contributions.submit_update,
    i.SubmitEvaluation: contributions.submit_evaluation,
    i.DeclineTask: contributions.decline,
    i.GroupsProposed: answers.propose_groups,
    i.PlacementsProposed: answers.propose_placements,
    i.TierProposed: answers.propose_tier,
    i.ParticipantsSelected: answers.select_participants,
    i.SelectionPostponed: answers.postpone_round,
    i.CohortReduced: answers.reduce_cohort,
    i.ModelAdjusted: answers.standardise_model,
    i.ModelsExchanged: answers.exchange_models,
    i.ModelMeasured: answers.report_test,
    i.StopRuled: answers.rule_stop,
    i.PluginFailed: answers.note_plugin_failure,
    i.Tick: consequences.follow,
}
