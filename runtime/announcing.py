"""What the coordinator tells of itself: who is where, which rounds are open, which models are final."""

from tierwise.core import commands as c
from tierwise.core import messages as m
from tierwise.core.edges import Store
from tierwise.core.federation import Federation
from tierwise.core.guests import served_groups
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.state import FederationState
from tierwise.runtime.federation_clock import FederationClock
from tierwise.runtime.post import Post


def assignment_of(state: FederationState, device: DeviceId) -> m.Assignment | None:
    """Return a device's group and tier; None as long as it has none."""
    found = state.devices.get(device)
    return None if found is None or found.group is None else _assignment(state, found.group)


def assignments_as_guest(state: FederationState, device: DeviceId) -> tuple[m.Assignment, ...]:
    """Return the weaker groups whose guest a device may be, and their tiers, weakest first."""
    found = (_assignment(state, group) for group in served_groups(state).get(device, ()))
    return tuple(assignment for assignment in found if assignment is not None)


def _assignment(state: FederationState, group: GroupId) -> m.Assignment | None:
    tier = state.groups[group].tier
    return None if tier is None else m.Assignment(group=group, tier=tier, task=state.opened.task)


class Announcer:
    """Puts into messages what devices must be told.

    Parameters
    ----------
    federation
        For reading only.
    post, store, clock
        The coordinator's.
    """

    def __init__(self, federation: Federation, post: Post, store: Store, clock: FederationClock) -> None:
        self._federation = federation
        self._post = post
        self._store = store
        self._clock = clock
        self._told: dict[DeviceId, tuple[GroupId, ...]] = {}
        """Each device's group, and where it may be a guest, as it was told last."""

    def announce_group(self, command: c.AnnounceGroup) -> None:
        """Tell the members where they are, if they do not know."""
        state = self._federation.state
        for device in self._federation.members(command.group):
            place = (command.group, *served_groups(state).get(device, ()))
            if self._told.get(device) != place:
                self._told[device] = place
                assigned = m.Assigned(
                    assignment=m.Assignment(group=command.group, tier=command.tier, task=state.opened.task),
                    order=self._federation.sequence,
                    also=assignments_as_guest(state, device),
                )
                self._post.to_device(device, assigned)

    async def publish_round(self, command: c.PublishRound) -> None:
        """Give a cohort its model."""
        opened, state = command.opened, self._federation.state
        group = state.groups[opened.group]
        coded = group.tier is not None and group.tier.cost.upload_bytes is not None
        own = tuple(device for device in opened.participants if device not in opened.guests)
        whole_group = set(own) >= group.members
        message = m.RoundAnnounced(
            group=opened.group,
            cohort=opened.cohort,
            purpose=opened.purpose,
            model=opened.model,
            participants=None if whole_group else own,
            budget=state.opened.rounds.budget,
            seed=opened.seed,
            deadline_in_s=max(opened.deadline_at - self._clock.now, 0.0),
            order=self._federation.sequence,
            guests=opened.guests,
            made_by=group.made_by if coded else None,
            left_out=group.left_out if coded else (),
        )
        self._post.to_group(opened.group, message, await self._store.get(opened.model))

    async def publish_target(self, command: c.PublishTarget) -> None:
        """Give a group its target model."""
        message = m.TargetAnnounced(
            group=command.group, version=command.version, model=command.model, reason=command.reason
        )
        self._post.to_group(command.group, message, await self._store.get(command.model))
