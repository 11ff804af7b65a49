"""What devices say: envelopes into inputs of the machine, and its judgements into replies."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeVarTuple

from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.deciding import Rejected
from tierwise.core.edges import Arrived, Compute, ConnectionLost, Store
from tierwise.core.envelope import PROTOCOL_VERSION, SPOKEN, Letter, common_version, open_from_device
from tierwise.core.errors import MalformedUpdateError, OtherVersionError, ProtocolError, told_versions
from tierwise.core.events import InputRejected, Notice, Refusal
from tierwise.core.federation import Federation
from tierwise.core.ids import BlobHash, CohortId, DeviceId
from tierwise.core.updates import check_update
from tierwise.runtime.announcing import assignment_of, assignments_as_guest
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.pages import let_go
from tierwise.runtime.post import Post
from tierwise.runtime.spool import Spool

Ts = TypeVarTuple("Ts")
_SMALL: Final = 128 * 1024
"""Bytes of an update that is looked at right here: that takes less than to wake a thread and to come back."""
_UNUSABLE: Final = (Refusal.MALFORMED, Refusal.WRONG_BASE)
"""Refusals of what a participant sent in time: it will not send anything else for that cohort."""


class Judge(Protocol):
    """Takes an input to the machine and returns once it is judged, logged and applied."""

    async def __call__(self, given: i.Input) -> None:
        """Judge ``given``; raises `Rejected`."""
        ...


class Submit(Protocol):
    """Takes an input to the machine, and says later what became of it."""

    def __call__(self, given: i.Input, answer: Callable[[Rejected | None], None]) -> None:
        """Submit ``given``; ``answer`` is called once it is judged and, unless it is refused, logged and applied."""
        ...


class StartSoon(Protocol):
    """Runs what has to wait for something, in a task of the coordinator's."""

    def __call__(self, function: Callable[[*Ts], Coroutine[Any, Any, None]], *given: *Ts) -> None:
        """Start a task."""
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
    judge, submit
        Judge inputs; what they reject, they make known.
    start_soon
        Runs what has to wait.
    notify
        Makes known what does not even become an input.
    post, store, spool, compute, codecs
        The coordinator's.
    """

    def __init__(
        self,
        federation: Federation,
        judge: Judge,
        submit: Submit,
        start_soon: StartSoon,
        notify: Notify,
        post: Post,
        store: Store,
        spool: Spool,
        compute: Compute,
        codecs: Codecs,
    ) -> None:
        self._federation = federation
        self._judge = judge
        self._submit = submit
        self._start_soon = start_soon
        self._notify = notify
        self._post = post
        self._store = store
        self._spool = spool
        self._compute = compute
        self._codecs = codecs
        self._latest_receipt = m.Receipt(cohort=CohortId(""), refusal=None, reason="")

    async def take(self, arrived: Arrived | ConnectionLost, at: float) -> None:
        """Handle one thing that came; a device's mistakes become notices and refusals, never errors.

        Parameters
        ----------
        arrived
            What came. Things of one device come one after the other, those of different ones at the same time.
        at
            When, in seconds of federation time.
        """
        if isinstance(arrived, ConnectionLost):
            await self._try(i.LoseDevice(device=arrived.device, reason=arrived.reason))
            if arrived.shut_out:
                refused = m.Refused(refusal=Refusal.REMOVED, reason=arrived.reason)
                self._post.to_device(arrived.device, refused)
            return
        try:
            message, body = open_from_device(arrived.data)
        except OtherVersionError as error:
            await self._refuse_version(arrived.device, str(error), error.version)
            return
        except ProtocolError as error:
            await self._notify_rejected("envelope", arrived.device, Refusal.MALFORMED, str(error))
            await self._report_fault(arrived.device, None, Refusal.MALFORMED, str(error))
            return
        match message:
            case m.Hello():
                await self._greet(arrived.device, message)
            case m.UpdateSent():
                vouched = isinstance(arrived.data, Letter) and arrived.data.vouched
                await self._take_update(arrived.device, message, body, at, vouched=vouched)
            case m.EvaluationSent():
                await self._take_evaluation(arrived.device, message, at)
            case m.TaskRefused():
                given = i.DeclineTask(device=arrived.device, cohort=message.cohort, reason=message.reason)
                await self._try(given)
            case m.Goodbye():
                await self._try(i.LoseDevice(device=arrived.device, reason=message.reason))

    def take_letter(self, device: DeviceId, letter: Letter, at: float, done: Callable[[], None]) -> bool:
        """Take a letter that is all at hand: a contribution that is to be judged, and nothing else waited for.

        Parameters
        ----------
        device, at
            Its sender, and when it came (federation time, seconds).
        letter
            What came.
        done
            Called when it is judged.

        Returns
        -------
        bool
            Whether it was one; `take` handles all others.
        """
        message = letter.message
        if isinstance(message, m.EvaluationSent):
            self._submit(_evaluation(device, message, at), partial(self._judged, device, message.cohort, None, done))
            return True
        if not isinstance(message, m.UpdateSent) or not letter.vouched or not self._spool.holds:
            return False
        if self._federation.state.opened.updates.max_norm is not None:
            return False
        given = _update(device, message, len(letter.body), at)
        self._spool.hold(letter.body, message.blob)
        self._submit(given, partial(self._judged, device, message.cohort, message.blob, done))
        return True

    def _judged(
        self,
        device: DeviceId,
        cohort: CohortId,
        blob: BlobHash | None,
        done: Callable[[], None],
        rejected: Rejected | None,
    ) -> None:
        done()
        if blob is not None:
            self._spool.settle(blob, logged=rejected is None)
        if rejected is None:
            self._post.to_device(device, self._receipt(cohort))
        else:
            self._start_soon(self._reply, device, cohort, rejected)

    async def _refuse_version(self, device: DeviceId, reason: str, version: int) -> None:
        await self._notify_rejected("envelope", device, Refusal.WRONG_VERSION, reason)
        self._post.to_device(device, m.Refused(refusal=Refusal.WRONG_VERSION, reason=reason), version=version)

    async def _greet(self, device: DeviceId, message: m.Hello) -> None:
        if common_version(message.speaks) is None:
            older = "coordinator" if message.speaks[0] > SPOKEN[1] else "device"
            reason = (
                f"device {device!r} speaks protocol version {told_versions(message.speaks)}, this coordinator speaks "
                f"{told_versions(SPOKEN)}: upgrade tierwise on the {older}"
            )
            await self._refuse_version(device, reason, min(max(message.speaks[1], 0), 255))
            return
        if self._federation.ended and device in self._federation.state.devices:
            await self._see_off(device)
            return
        enrolling = i.EnrolDevice(device=device, schema_hash=message.schema_hash, visits=message.visits)
        rejected = await self._try(enrolling)
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
        if device not in state.devices:
            return  # removed since, and told so
        welcome = m.Welcome(
            federation=state.opened.name,
            assignment=assignment_of(state, device),
            version=PROTOCOL_VERSION,
            order=self._federation.sequence,
            also=assignments_as_guest(state, device),
        )
        self._post.to_device(device, welcome)

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

    async def _take_update(
        self, device: DeviceId, message: m.UpdateSent, body: memoryview, at: float, *, vouched: bool
    ) -> None:
        given = _update(device, message, len(body), at)
        async with self._spool.writing() as writing:
            rejected = await self._foresee(given) or await self._check(device, message, body, vouched=vouched)
            if rejected is None:
                await writing.put(body, message.blob, vouched=vouched)
                rejected = await self._try(given)
            writing.logged = rejected is None
        await self._reply(device, message.cohort, rejected)

    async def _foresee(self, given: i.SubmitUpdate) -> Rejected | None:
        """Return why the machine would not take an update, whatever its body: then nobody has to look at that."""
        try:
            self._federation.decide(given, self._federation.latest_at)
        except Rejected as rejected:
            await self._notify_rejected("SubmitUpdate", given.device, rejected.refusal, rejected.reason)
            return rejected
        return None

    async def _check(
        self, device: DeviceId, message: m.UpdateSent, body: memoryview, *, vouched: bool
    ) -> Rejected | None:
        checking = self._checking(device, message, body, vouched=vouched)
        try:
            if len(body) <= _SMALL:
                checking()
            else:
                await self._compute.run(checking)
        except MalformedUpdateError as error:
            await self._notify_rejected("SubmitUpdate", device, Refusal.MALFORMED, str(error))
            return Rejected(Refusal.MALFORMED, str(error))
        return None

    def _checking(
        self, device: DeviceId, message: m.UpdateSent, body: memoryview, *, vouched: bool
    ) -> Callable[[], object]:
        group = self._federation.state.group_of_cohort(message.cohort)
        tier = None if group is None else self._federation.state.groups[group].tier
        assert tier is not None, "there is an open cohort, or the machine would have foreseen its refusal"
        return partial(
            check_update,
            body,
            device=device,
            blob=None if vouched else message.blob,
            coding=self._codecs.of(tier),
            max_norm=self._federation.state.opened.updates.max_norm,
            between=partial(let_go, body),
        )

    async def _take_evaluation(self, device: DeviceId, message: m.EvaluationSent, at: float) -> None:
        await self._reply(device, message.cohort, await self._try(_evaluation(device, message, at)))

    async def _reply(self, device: DeviceId, cohort: CohortId, rejected: Rejected | None) -> None:
        """Send the receipt, and stop waiting for a participant whose contribution cannot be used."""
        if rejected is None or rejected.refusal is Refusal.DUPLICATE:  # it counts already: only the receipt was lost
            self._post.to_device(device, self._receipt(cohort))
            return
        if rejected.refusal in _UNUSABLE:
            await self._report_fault(device, cohort, rejected.refusal, rejected.reason)
        self._post.to_device(device, m.Receipt(cohort=cohort, refusal=rejected.refusal, reason=rejected.reason))

    def _receipt(self, cohort: CohortId) -> m.Receipt:
        """Return the word that a contribution counts: the same message for all of a cohort."""
        if self._latest_receipt.cohort != cohort:
            self._latest_receipt = m.Receipt(cohort=cohort, refusal=None, reason="")
        return self._latest_receipt

    async def _report_fault(self, device: DeviceId, cohort: CohortId | None, refusal: Refusal, reason: str) -> None:
        found = self._federation.state.devices.get(device)
        if found is not None and found.quarantined is None:
            await self._try(i.ReportFault(device=device, cohort=cohort, refusal=refusal, reason=reason))

    async def _try(self, given: i.Input) -> Rejected | None:
        try:
            await self._judge(given)
        except Rejected as rejected:
            return rejected
        return None

    async def _notify_rejected(self, what: str, device: DeviceId, refusal: Refusal, reason: str) -> None:
        await self._notify(InputRejected(input=what, device=device, refusal=refusal, reason=reason))


def _update(device: DeviceId, message: m.UpdateSent, size_bytes: int, at: float) -> i.SubmitUpdate:
    return i.SubmitUpdate(
        device=device,
        arrived_at=at,
        cohort=message.cohort,
        base=message.base,
        blob=message.blob,
        size_bytes=size_bytes,
        samples=message.samples,
        metrics=message.metrics,
    )


def _evaluation(device: DeviceId, message: m.EvaluationSent, at: float) -> i.SubmitEvaluation:
    return i.SubmitEvaluation(
        device=device, arrived_at=at, cohort=message.cohort, base=message.base, metrics=message.metrics
    )
