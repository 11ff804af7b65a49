"""What devices say: envelopes into inputs of the machine, and its judgements into replies."""

from functools import partial
from typing import Final, Protocol

from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.deciding import Rejected
from tierwise.core.edges import Arrived, Compute, ConnectionLost, Store
from tierwise.core.envelope import open_from_device
from tierwise.core.errors import MalformedUpdateError, ProtocolError
from tierwise.core.events import InputRejected, Notice, Refusal
from tierwise.core.federation import Federation
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.updates import check_update
from tierwise.runtime.post import Post
from tierwise.runtime.spool import Spool

_UNUSABLE: Final = (Refusal.MALFORMED, Refusal.WRONG_BASE)
"""Refusals of what a participant sent in time: it will not send anything else for that cohort."""


class Judge(Protocol):
    """Takes an input to the machine and returns once it is judged, logged and applied."""

    async def __call__(self, given: i.Input) -> None:
        """Judge ``given``; raises `Rejected`."""
        ...


class Notify(Protocol):
    """Publishes a notice, if anybody listens still."""

    async def __call__(self, notice: Notice) -> None:
        """Publish ``notice``."""
        ...


class Reception:
    """Takes what devices send.

    Parameters
    ----------
    federation
        For reading only.
    judge
        Judges inputs; what it rejects, it makes known.
    notify
        Makes known what does not even become an input.
    post, store, spool, compute
        The coordinator's.
    """

    def __init__(
        self,
        federation: Federation,
        judge: Judge,
        notify: Notify,
        post: Post,
        store: Store,
        spool: Spool,
        compute: Compute,
    ) -> None:
        self._federation = federation
        self._judge = judge
        self._notify = notify
        self._post = post
        self._store = store
        self._spool = spool
        self._compute = compute

    async def take(self, arrived: Arrived | ConnectionLost) -> None:
        """Handle one thing that came; a device's mistakes become notices and refusals, never errors."""
        if isinstance(arrived, ConnectionLost):
            await self._try(i.LoseDevice(device=arrived.device, reason=arrived.reason))
            return
        try:
            message, body = open_from_device(arrived.data)
        except ProtocolError as error:
            await self._notify_rejected("envelope", arrived.device, Refusal.MALFORMED, str(error))
            return
        match message:
            case m.Hello():
                await self._greet(arrived.device, message)
            case m.UpdateSent():
                await self._take_update(arrived.device, message, body)
            case m.EvaluationSent():
                await self._take_evaluation(arrived.device, message)
            case m.TaskRefused():
                given = i.DeclineTask(device=arrived.device, cohort=message.cohort, reason=message.reason)
                await self._try(given)
            case m.Goodbye():
                await self._try(i.LoseDevice(device=arrived.device, reason=message.reason))

    async def _greet(self, device: DeviceId, message: m.Hello) -> None:
        if self._federation.ended and device in self._federation.state.devices:
            await self._see_off(device)
            return
        rejected = await self._try(i.EnrolDevice(device=device, schema_hash=message.schema_hash))
        if rejected is None:
            rejected = await self._try(i.ReportHardware(device=device, profile=message.profile))
        if self._federation.ended and device in self._federation.state.devices:
            await self._see_off(device)  # it has ended meanwhile
        elif rejected is not None:
            self._post.to_device(device, m.Refused(refusal=rejected.refusal, reason=rejected.reason))
        else:
            self._welcome(device)

    def _welcome(self, device: DeviceId) -> None:
        state = self._federation.state
        found = state.devices.get(device)
        if found is None:
            return  # removed since, and told so
        assignment = None
        if found.group is not None and (tier := state.groups[found.group].tier) is not None:
            assignment = m.Assignment(group=found.group, tier=tier)
        self._post.to_device(device, m.Welcome(federation=state.opened.name, assignment=assignment))

    async def _see_off(self, device: DeviceId) -> None:
        """Give a device that comes back after the end what it has missed."""
        state = self._federation.state
        name = state.devices[device].group
        model = None if name is None else state.groups[name].model
        if name is not None and model is not None:
            group = state.groups[name]
            self._welcome(device)
            target = m.TargetAnnounced(group=name, version=group.version, model=model, reason=group.ending or "")
            self._post.to_device(device, target, await self._store.get(model))
        reason = state.failure or "the federation has finished"
        self._post.to_device(device, m.Dismissed(reason=reason, target=model))

    async def _take_update(self, device: DeviceId, message: m.UpdateSent, body: memoryview) -> None:
        async with self._spool.writing() as writing:
            rejected = await self._check(device, message, body)
            if rejected is None:
                await writing.put(body)
                given = i.SubmitUpdate(
                    device=device,
                    cohort=message.cohort,
                    base=message.base,
                    blob=message.blob,
                    size_bytes=len(body),
                    samples=message.samples,
                    metrics=message.metrics,
                )
                rejected = await self._try(given)
            writing.logged = rejected is None
        await self._reply(device, message.cohort, rejected)

    async def _check(self, device: DeviceId, message: m.UpdateSent, body: memoryview) -> Rejected | None:
        group = self._federation.state.group_of_cohort(message.cohort)
        tier = None if group is None else self._federation.state.groups[group].tier
        if tier is None:
            return None  # there is no such cohort, and the machine will say so
        check = partial(check_update, body, device=device, blob=message.blob, layout=tier.layout)
        try:
            await self._compute.run(check)
        except MalformedUpdateError as error:
            await self._notify_rejected("SubmitUpdate", device, Refusal.MALFORMED, str(error))
            return Rejected(Refusal.MALFORMED, str(error))
        return None

    async def _take_evaluation(self, device: DeviceId, message: m.EvaluationSent) -> None:
        given = i.SubmitEvaluation(device=device, cohort=message.cohort, base=message.base, metrics=message.metrics)
        await self._reply(device, message.cohort, await self._try(given))

    async def _reply(self, device: DeviceId, cohort: CohortId, rejected: Rejected | None) -> None:
        """Send the receipt, and stop waiting for a participant whose contribution cannot be used."""
        if rejected is None or rejected.refusal is Refusal.DUPLICATE:  # it counts already: only the receipt was lost
            self._post.to_device(device, m.Receipt(cohort=cohort, refusal=None, reason=""))
            return
        if rejected.refusal in _UNUSABLE and device in self._federation.state.devices:
            await self._try(i.DeclineTask(device=device, cohort=cohort, reason=rejected.reason))
        self._post.to_device(device, m.Receipt(cohort=cohort, refusal=rejected.refusal, reason=rejected.reason))

    async def _try(self, given: i.Input) -> Rejected | None:
        try:
            await self._judge(given)
        except Rejected as rejected:
            return rejected
        return None

    async def _notify_rejected(self, what: str, device: DeviceId, refusal: Refusal, reason: str) -> None:
        await self._notify(InputRejected(input=what, device=device, refusal=refusal, reason=reason))
