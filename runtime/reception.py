"""What devices say: envelopes into inputs of the machine, and its judgements into replies."""

from functools import partial
from typing import Protocol

from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.bus import EventBus
from tierwise.core.deciding import Rejected
from tierwise.core.edges import Arrived, Compute, ConnectionLost, Store
from tierwise.core.envelope import open_from_device
from tierwise.core.errors import MalformedUpdateError, ProtocolError
from tierwise.core.events import InputRejected, Refusal
from tierwise.core.federation import Federation
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.updates import check_update
from tierwise.runtime.post import Post


class Judge(Protocol):
    """Takes an input to the machine and returns once it is judged, logged and applied."""

    async def __call__(self, given: i.Input) -> None:
        """Judge ``given``; raises `Rejected`."""
        ...


class Reception:
    """Takes what devices send.

    Parameters
    ----------
    federation
        For reading only.
    judge
        Judges inputs.
    post, store, compute, bus
        The coordinator's.
    """

    def __init__(
        self,
        federation: Federation,
        judge: Judge,
        post: Post,
        store: Store,
        compute: Compute,
        bus: EventBus,
    ) -> None:
        self._federation = federation
        self._judge = judge
        self._post = post
        self._store = store
        self._compute = compute
        self._bus = bus

    async def take(self, arrived: Arrived | ConnectionLost) -> None:
        """Handle one thing that came; a device's mistakes become notices and refusals, never errors."""
        if isinstance(arrived, ConnectionLost):
            await self._try(i.LoseDevice(device=arrived.device, reason=arrived.reason))
            return
        try:
            message, body = open_from_device(arrived.data)
        except ProtocolError as error:
            await self._reject("envelope", arrived.device, Refusal.MALFORMED, str(error))
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
        rejected = await self._try(i.EnrolDevice(device=device, schema_hash=message.schema_hash))
        if rejected is None:
            rejected = await self._try(i.ReportHardware(device=device, profile=message.profile))
        if rejected is not None:
            self._post.to_device(device, m.Refused(refusal=rejected.refusal, reason=rejected.reason))
            return
        state = self._federation.state
        assignment = None
        group = state.devices[device].group
        if group is not None and (tier := state.groups[group].tier) is not None:
            assignment = m.Assignment(group=group, tier=tier)
        self._post.to_device(device, m.Welcome(federation=state.opened.name, assignment=assignment))

    async def _take_update(self, device: DeviceId, message: m.UpdateSent, body: memoryview) -> None:
        group = self._federation.state.group_of_cohort(message.cohort)
        tier = None if group is None else self._federation.state.groups[group].tier
        if tier is not None:
            check = partial(check_update, body, device=device, blob=message.blob, layout=tier.layout)
            try:
                await self._compute.run(check)
            except MalformedUpdateError as error:
                await self._reject("SubmitUpdate", device, Refusal.MALFORMED, str(error))
                self._receipt(device, message.cohort, Rejected(Refusal.MALFORMED, str(error)))
                return
            await self._store.put(body)
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
        if rejected is not None and message.blob not in self._federation.live_blobs():
            await self._store.delete([message.blob])
        self._receipt(device, message.cohort, rejected)

    async def _take_evaluation(self, device: DeviceId, message: m.EvaluationSent) -> None:
        given = i.SubmitEvaluation(device=device, cohort=message.cohort, base=message.base, metrics=message.metrics)
        self._receipt(device, message.cohort, await self._try(given))

    def _receipt(self, device: DeviceId, cohort: CohortId, rejected: Rejected | None) -> None:
        if rejected is None or rejected.refusal is Refusal.DUPLICATE:  # it counts already: only the receipt was lost
            self._post.to_device(device, m.Receipt(cohort=cohort, refusal=None, reason=""))
        else:
            self._post.to_device(device, m.Receipt(cohort=cohort, refusal=rejected.refusal, reason=rejected.reason))

    async def _try(self, given: i.Input) -> Rejected | None:
        try:
            await self._judge(given)
        except Rejected as rejected:
            device = getattr(given, "device", None)
            await self._reject(type(given).__name__, device, rejected.refusal, rejected.reason)
            return rejected
        return None

    async def _reject(self, what: str, device: DeviceId | None, refusal: Refusal, reason: str) -> None:
        await self._bus.publish(InputRejected(input=what, device=device, refusal=refusal, reason=reason))
