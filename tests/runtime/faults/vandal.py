"""An enrolled device, rightly signed and sealed, that sends garbage."""

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import numpy as np

from tests.runtime.helpers import TASK, profile
from tierwise.core import messages as m
from tierwise.core.edges import Reconnected
from tierwise.core.envelope import open_from_coordinator, seal
from tierwise.core.framing import to_bytes
from tierwise.core.metrics import Metric
from tierwise.core.tiers import Tier
from tierwise.core.transfer import Offer, Outline, encode
from tierwise.core.transfer.outline import HASH_BYTES, transfer_id
from tierwise.core.weights import Layout, Weights
from tierwise.runtime.security.signing import TO_COORDINATOR
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.agent import MqttAgent

METRICS = {name: Metric(sum=1.0, count=2) for name in TASK.metrics}
HUGE = 200_000_000
PATIENCE_S = 30.0


class Vandal:
    """Joins like any device, then does what no device should.

    It goes on whatever it is told: it may have been taken out of its rounds, or out of the federation.

    Parameters
    ----------
    transport
        Its own.
    part
        Whose hardware it claims to have, as `tests.runtime.helpers.profile` has it.
    """

    def __init__(self, transport: MqttAgent, part: int) -> None:
        self.transport = transport
        self._profile = profile(part)
        self._random = random.Random(1)
        self._tier: Tier | None = None
        self._round: m.RoundAnnounced | None = None
        self._seen = ""
        self._announced = anyio.Event()

    @asynccontextmanager
    async def there(self) -> AsyncIterator["Vandal"]:
        """Be a device as long as the context lasts."""
        async with self.transport.connect(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            await self._hello()
            yield self
            tasks.cancel_scope.cancel()

    async def next_round(self) -> None:
        """Wait until another round than at the last call is announced to its group."""
        with anyio.fail_after(PATIENCE_S):
            while self._round is None or self._round.cohort == self._seen:
                await self._announced.wait()
        self._seen = self._round.cohort

    async def _listen(self) -> None:
        async for data in self.transport.receive():
            if isinstance(data, Reconnected):  # the coordinator came after us
                await self._hello()
                continue
            message, _ = open_from_coordinator(data)
            assignment = getattr(message, "assignment", None)
            if assignment is not None:
                self._tier = assignment.tier
                await self.transport.follow(assignment.group)
            elif isinstance(message, m.RoundAnnounced):
                self._round = message
                self._announced.set()
                self._announced = anyio.Event()

    async def _hello(self) -> None:
        await self._say(m.Hello(schema_hash=TASK.schema_hash, profile=self._profile))

    async def _say(self, message: m.DeviceMessage, body: bytes = b"") -> None:
        await self.transport.send(seal(message, body))

    # -- what it does instead of taking part; nobody is to wait for it then

    async def decline(self) -> None:
        """Say that nothing will come for the latest round."""
        assert self._round is not None
        await self._say(m.TaskRefused(cohort=self._round.cohort, reason="no wish to"))

    async def send_update(self, body: bytes, *, blob: str | None = None, **changed: object) -> None:
        """Send an update for the latest round; all but its body is right unless something else is said."""
        assert self._round is not None
        right = {"cohort": self._round.cohort, "base": self._round.model, "samples": 5, "metrics": METRICS}
        digest = hashlib.sha256(body).hexdigest()
        await self._say(m.UpdateSent(blob=blob or digest, **{**right, **changed}), body)

    def weights(self, value: float) -> bytes:
        """Return an update of the right layout, with one value everywhere."""
        assert self._tier is not None
        layout = self._tier.layout.aggregated
        return to_bytes(Weights(layout, np.full(layout.size, value, np.float32)))

    async def send_bad_updates(self) -> None:
        """Send one bad update for each of the next rounds."""
        other = Layout.of({"else": (3, 5)})
        for body, changed in (
            (self.weights(np.nan), {}),
            (self.weights(np.inf), {}),
            (to_bytes(Weights(other, np.zeros(other.size, np.float32))), {}),
            (self.weights(1.0), {"blob": "0" * 64}),
            (self.weights(1.0), {"base": "0" * 64}),
            (self.weights(1.0), {"samples": -5}),
            (self.weights(1.0), {"metrics": {name: Metric(sum=float("nan"), count=2) for name in METRICS}}),
            (self.weights(1.0)[:-3], {}),
            (self._random.randbytes(3000), {}),
            (b"", {}),
        ):
            await self.next_round()
            await self.send_update(body, **changed)
            await self.decline()  # where the update was not even taken for one

    async def send_bad_envelopes(self) -> None:
        """Send bytes that are no message, some of them signed."""
        for size in (0, 1, 8, 100, 5000, 110_000):
            await self.transport.send(self._random.randbytes(size))
        topics, device = self.transport._topics, self.transport.device
        for size in (0, 1, 100, 5000):
            noise = self._random.randbytes(size)
            for topic, kind in ((topics.ctl(device), kinds.CTL), (topics.presence(device), kinds.PRESENCE)):
                await self._publish(topic, self._signed(noise, kind))
                await self._publish(topic, noise)
            await self._publish(topics.chunk(device), noise)

    async def offer_too_much(self) -> None:
        """Offer more bytes than anybody may send."""
        size, chunk = 600_000_000, 120_000
        hashes = self._random.randbytes(-(-size // chunk) * HASH_BYTES)
        outline = Outline(transfer=transfer_id(size, chunk, hashes), size=size, chunk_size=chunk, hashes=hashes)
        await self._publish(
            self.transport._topics.ctl(self.transport.device), self._signed(encode(Offer(outline=outline)), kinds.CTL)
        )

    async def upload_too_much(self, patience_s: float) -> None:
        """Send `HUGE` bytes as an update, wait till the coordinator has them or does not take them, and decline."""
        await self.next_round()
        await self.send_update(bytes(HUGE))
        with suppress(TimeoutError), anyio.fail_after(patience_s):
            while self.transport._uplink.upload.transfer is not None:
                await self.decline()
                await anyio.sleep(0.05)

    def _signed(self, payload: bytes, kind: str) -> bytes:
        return self.transport._signer.sign(payload, kind=kind, recipient=TO_COORDINATOR)

    async def _publish(self, topic: str, payload: bytes) -> None:
        await self.transport._connection.publish(topic, payload, qos=1)
