"""The link layer: envelopes of any size over small messages that may be lost, repeated, reordered or cut short.

An *envelope* (`tierwise.core.envelope`) may have 40 MB; a broker may pass 128 KB, and what it acknowledged it may
still drop. The machines here carry envelopes over such a network. Like `tierwise.core.agent` they have no clock, no
randomness and no I/O: the time in seconds and a source of jitter come in, bytes go out through a `Sink`.

**Outline.** An envelope is cut into chunks of one size; the hashes of all chunks are its `Outline`, and the hash of
that is the *transfer id*. So the same bytes are the same transfer, whoever reconnects or restarts; an outline proves
itself; a chunk is checked the moment it arrives, in any order, and when all are there nothing is left to check. No
end reads a large envelope a second time, or holds it.

**Uploads run under credit.** A device offers an outline; the coordinator grants chunks; the device sends just those::

    device  Upload                                        UploadDesk  coordinator
            Offer(outline, seen=0)          ->
                                            <-            Grant(1, [0, 16))
            Chunk 0 … Chunk 15              ->
                                            <-            Grant(2, [16, 24))       as the first half arrives
            …                               ->
                                            <-            Grant(9, [], done)

What is granted and has not arrived is *in flight*: never more than a window for each sender and a pool for all, given
out in turn. So nothing queues at the broker that it could drop. A granted chunk counts as lost when a whole window
that was granted after it has arrived, when its sender has been silent for a while, or when the sender's next offer
says that it has seen that grant: an offer always means "I have nothing more to send". Lost chunks are granted again.
A sender that stays silent is asked a few times, then gets no credit until it speaks, and is given up in the end. Lost
offers and grants are healed by the device alone, which repeats its offer with growing pauses. A coordinator that was
restarted knows no transfers: it answers chunks with `Gone`, and the device offers again.

**A broadcast does not grow with its audience.** The coordinator publishes a `Manifest` (an outline and a tag; a small
envelope inline), to be retained, then each chunk once. A device that has heard nothing new for a while asks for what
it lacks (`Want`); wishes are collected for a moment, their union is published once for all, no chunk more often than
once in an interval, all within a number of bytes per second.

**How to drive a machine.** Hand it what comes (`receive`) and call `tick` at `due_at`; both return what has come of
it, if anything. After either, and after whatever else was called, send what `next_packet` gives until it gives None.
What goes out is drawn, not pushed: a packet is made when the network can take it, and what has become pointless by
then is never sent. Packets may be lost, so nothing need be undone when sending fails. Chunks gain nothing from an
acknowledged delivery; a manifest does.

No machine ever raises on what came from outside: it drops it and counts it (`LinkCounters`). `decode` raises
`ProtocolError`, and nothing else.
"""

from tierwise.core.transfer.backoff import Jitter
from tierwise.core.transfer.broadcast import Broadcast
from tierwise.core.transfer.codec import Packet, decode, encode
from tierwise.core.transfer.counters import LinkCounters
from tierwise.core.transfer.desk import Addressed, UploadDesk
from tierwise.core.transfer.download import Download
from tierwise.core.transfer.facts import Abandoned, Downloaded, Received, Refused, Repeated, Uploaded
from tierwise.core.transfer.messages import Chunk, Gone, Grant, LinkMessage, Manifest, Offer, Want, Whole
from tierwise.core.transfer.outline import DEFAULT_CHUNK_BYTES, Outline, TransferId
from tierwise.core.transfer.settings import BroadcastSettings, DeskSettings, DownloadSettings, UploadSettings
from tierwise.core.transfer.sink import BufferSink, Sink
from tierwise.core.transfer.upload import Upload

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "Abandoned",
    "Addressed",
    "Broadcast",
    "BroadcastSettings",
    "BufferSink",
    "Chunk",
    "DeskSettings",
    "Download",
    "DownloadSettings",
    "Downloaded",
    "Gone",
    "Grant",
    "Jitter",
    "LinkCounters",
    "LinkMessage",
    "Manifest",
    "Offer",
    "Outline",
    "Packet",
    "Received",
    "Refused",
    "Repeated",
    "Sink",
    "TransferId",
    "Upload",
    "UploadDesk",
    "UploadSettings",
    "Uploaded",
    "Want",
    "Whole",
    "decode",
    "encode",
]
