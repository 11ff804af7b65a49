"""Real machines of both ends, a network that mistreats what passes, and virtual time."""

import heapq
import random
from collections import Counter
from dataclasses import dataclass

from tierwise.core.errors import ProtocolError
from tierwise.core.transfer import (
    Broadcast,
    BroadcastSettings,
    BufferSink,
    Chunk,
    DeskSettings,
    Download,
    Downloaded,
    DownloadSettings,
    Grant,
    LinkMessage,
    Manifest,
    Outline,
    Packet,
    Received,
    Refused,
    Repeated,
    Upload,
    UploadDesk,
    Uploaded,
    UploadSettings,
    decode,
    encode,
)

CHUNK = 100
COORDINATOR = "coordinator"


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Chances for each message, and how long it travels."""

    loss: float = 0.0
    copy: float = 0.0
    cut: float = 0.0
    foreign: float = 0.0
    delay_s: float = 0.05
    spread_s: float = 0.0


class ProofSink(BufferSink):
    """Sees that each byte is written once, and nothing after the end."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.offsets: set[int] = set()
        self.discarded = False

    def write(self, offset: int, data: memoryview) -> None:
        assert not self.discarded
        assert offset not in self.offsets
        assert offset + len(data) <= len(self.data)
        self.offsets.add(offset)
        super().write(offset, data)

    def discard(self) -> None:
        assert not self.discarded
        self.discarded = True
        super().discard()


class Network:
    """Devices, a coordinator, and everything between them."""

    def __init__(
        self,
        *names: str,
        seed: int = 0,
        faults: Faults | None = None,
        desk: DeskSettings | None = None,
        broadcast: BroadcastSettings | None = None,
    ) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.desk_settings = desk or DeskSettings(chunk_limit_bytes=CHUNK)
        self.broadcast = Broadcast(self.random.random, broadcast or BroadcastSettings(chunk_bytes=CHUNK))
        self.sent: Counter[str] = Counter()
        """Messages by kind, as they were sent."""
        self.chunk_bytes = 0
        self.granted: Counter[tuple[str, str, int]] = Counter()
        self.chunks: Counter[tuple[str, str, int]] = Counter()
        """How often each chunk was granted and sent, by device and transfer."""
        self.received: list[Received] = []
        self.repeated: list[Repeated] = []
        self.refused: list[Refused] = []
        self.abandoned: list[object] = []
        self.unreadable = 0
        self._queue: list[tuple[float, int, str, str, bytes, int]] = []
        self._order = 0
        self._epochs: Counter[str] = Counter()
        """Raised by a reconnection, which loses what is on its way."""
        self._retained: Packet | None = None
        self.desk = self._new_desk()
        self.devices = {name: Device(name, self) for name in names}

    def _new_desk(self) -> UploadDesk:
        self._finished: set[tuple[str, str]] = set()
        return UploadDesk(lambda sender, outline: ProofSink(outline.size), self.desk_settings)

    # -- what tests do

    def publish(self, envelope: bytes, tag: str = "", order: int = 0) -> None:
        self.broadcast.publish(envelope, tag, order=order)
        self.pump()

    def restart_coordinator(self) -> None:
        """Forget all reassemblies."""
        self.desk = self._new_desk()

    def reconnect(self, name: str) -> None:
        """Lose what is on its way from and to a device; it gets what is retained again."""
        self._epochs[name] += 1
        device = self.devices[name]
        if self._retained is not None:
            self._carry(COORDINATOR, name, self._retained)
        device.upload.resume()
        device.download.resume(self.now)
        self.pump()

    def run(self, until: float) -> None:
        """Let virtual time pass until nothing is due any more, or until then."""
        self.pump()
        while True:
            dues = [self._queue[0][0]] if self._queue else []
            dues += [due for machine in self._machines() if (due := machine.due_at) is not None]
            if not dues or min(dues) > until:
                self.now = until
                return
            self.now = max(self.now, min(dues))
            while self._queue and self._queue[0][0] <= self.now:
                self._deliver()
            for machine in self._machines():
                if machine.due_at is not None and machine.due_at <= self.now:
                    self.abandoned += machine.tick(self.now) or ()
            self.pump()

    # -- how it works

    def _machines(self):
        yield self.desk
        yield self.broadcast
        for device in self.devices.values():
            yield device.upload
            yield device.download

    def pump(self) -> None:
        """Send all that any machine has to send."""
        self._pump_desk()
        self._pump_broadcast()
        for device in self.devices.values():
            self._pump_device(device)

    def _pump_desk(self) -> None:
        while (addressed := self.desk.next_packet(self.now)) is not None:
            message = addressed.packet.message
            if isinstance(message, Grant):
                for first, end in message.ranges:
                    for index in range(first, end):
                        self.granted[addressed.receiver, message.transfer, index] += 1
            assert self.desk.in_flight <= self.desk_settings.pool_chunks
            self._send(COORDINATOR, addressed.receiver, addressed.packet)

    def _pump_broadcast(self) -> None:
        while (packet := self.broadcast.next_packet(self.now)) is not None:
            if packet.retained:
                self._retained = packet
            self.sent[type(packet.message).__name__] += 1
            if isinstance(packet.message, Chunk):
                self.chunk_bytes += len(packet.tail)
            for name in self.devices:
                self._carry(COORDINATOR, name, packet)

    def _pump_device(self, device: "Device") -> None:
        for machine in (device.upload, device.download):
            while (packet := machine.next_packet(self.now)) is not None:
                if isinstance(packet.message, Chunk):
                    self.chunks[device.name, packet.message.transfer, packet.message.index] += 1
                self._send(device.name, COORDINATOR, packet)

    def _send(self, sender: str, receiver: str, packet: Packet) -> None:
        self.sent[type(packet.message).__name__] += 1
        self._carry(sender, receiver, packet)

    def _carry(self, sender: str, receiver: str, packet: Packet) -> None:
        data = packet.encode()
        sure = isinstance(packet.message, Manifest)  # a broker delivers it at least once
        faults, chance = self.faults, self.random.random
        copies = 1 + (chance() < faults.copy)
        if chance() < faults.foreign:
            self._put(sender, receiver, self._foreign(data, packet.message))
        for _ in range(copies):
            if not sure and chance() < faults.loss:
                continue
            cut = self.random.randrange(len(data)) if not sure and chance() < faults.cut else len(data)
            self._put(sender, receiver, data[:cut])

    def _foreign(self, data: bytes, message: LinkMessage) -> bytes:
        """Make garbage, a damaged message, or a message of a transfer that nobody knows."""
        match self.random.randrange(4):
            case 0:
                return self.random.randbytes(self.random.randrange(200))
            case 1 if isinstance(message, Chunk):  # all else is signed
                damaged = bytearray(data)
                damaged[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
                return bytes(damaged)
            case 2:
                transfer = f"{self.random.getrandbits(128):032x}"
                return encode(Chunk(transfer=transfer, index=self.random.randrange(5)), self.random.randbytes(CHUNK))
            case _:
                transfer = self.broadcast.transfer or "0" * 32
                index = self.random.randrange(2**40) if self.random.random() < 0.5 else self.random.randrange(5)
                return encode(Chunk(transfer=transfer, index=index), self.random.randbytes(CHUNK))

    def _put(self, sender: str, receiver: str, data: bytes) -> None:
        device = receiver if sender == COORDINATOR else sender
        delay_s = self.faults.delay_s + self.faults.spread_s * self.random.random()
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._order, sender, receiver, data, self._epochs[device]))

    def _deliver(self) -> None:
        _, _, sender, receiver, data, epoch = heapq.heappop(self._queue)
        if epoch != self._epochs[receiver if sender == COORDINATOR else sender]:
            return
        try:
            message, tail = decode(data)
        except ProtocolError:
            self.unreadable += 1
            return
        if receiver == COORDINATOR:
            self._hear(sender, message, tail)
        else:
            self.devices[receiver].hear(message, tail)

    def _hear(self, sender: str, message: LinkMessage, tail: memoryview) -> None:
        gone = None
        if type(message).__name__ == "Want":
            gone = self.broadcast.receive(message, self.now)
        else:
            match self.desk.receive(sender, message, tail, self.now):
                case Received() as fact:
                    assert (sender, fact.transfer) not in self._finished
                    assert fact.last_chunk_at == self.now
                    self._finished.add((sender, fact.transfer))
                    self.received.append(fact)
                case Repeated() as fact:
                    self.repeated.append(fact)
                case Refused() as fact:
                    self.refused.append(fact)
        if gone is not None:
            self._send(COORDINATOR, sender, Packet(gone))
        self.pump()


class Device:
    """A device's two machines."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.network = network
        jitter = random.Random(f"{name}").random
        self.upload = Upload(jitter, UploadSettings(chunk_bytes=CHUNK))
        self.download = Download(
            lambda outline, tag: ProofSink(outline.size), jitter, DownloadSettings(chunk_limit_bytes=CHUNK)
        )
        self.uploaded: list[Uploaded] = []
        self.downloaded: list[Downloaded] = []

    def offer(self, envelope: bytes) -> str:
        transfer = self.upload.offer(envelope)
        self.network.pump()
        return transfer

    def hear(self, message: LinkMessage, tail: memoryview) -> None:
        fact = self.upload.receive(message) if isinstance(message, Grant) else None
        if fact is not None:
            self.uploaded.append(fact)
        elif type(message).__name__ == "Gone":
            assert self.upload.receive(message) is None
            assert self.download.receive(message, tail, self.network.now) is None
        elif not isinstance(message, Grant):
            done = self.download.receive(message, tail, self.network.now)
            if done is not None:
                self.downloaded.append(done)
        self.network.pump()


def envelope(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def outline_of(data: bytes) -> Outline:
    return Outline.of(data, CHUNK)
