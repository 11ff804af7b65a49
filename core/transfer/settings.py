"""How each machine behaves. Times are in seconds, sizes in bytes."""

from dataclasses import dataclass

from tierwise.core.transfer.outline import DEFAULT_CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """A device's, for what it sends.

    Attributes
    ----------
    chunk_bytes
        Of data in a chunk; what the broker takes, less about 1 kB. The coordinator must allow it.
    retry_s
        The wait after which an offer without an answer is repeated for the first time; each next wait is twice as
        long, and all are jittered.
    retry_limit_s
        The longest wait.
    """

    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    retry_s: float = 2.0
    retry_limit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """The coordinator's, for what devices send.

    Attributes
    ----------
    envelope_limit_bytes, chunk_limit_bytes, chunk_count_limit
        What an offer may ask for; the last bounds the memory for hashes, 16 bytes each.
    pool_chunks
        Chunks in flight from all senders together: times the chunk size, what may wait at broker and coordinator.
    window_chunks
        Chunks in flight from one sender.
    regrant_s
        A sender that was granted chunks and is silent for this long has lost them; longer for one that is slow.
    regrant_limit_s
        The longest such time.
    unanswered_limit
        Grants without an answer, after which a sender gets no more until it speaks.
    idle_s
        An upload without anything new, nor an offer, for this long is given up. Many times the devices'
        ``retry_limit_s``, or a bad network loses what has arrived.
    """

    envelope_limit_bytes: int = 512 * 1024 * 1024
    chunk_limit_bytes: int = DEFAULT_CHUNK_BYTES
    chunk_count_limit: int = 8192
    pool_chunks: int = 256
    window_chunks: int = 16
    regrant_s: float = 5.0
    regrant_limit_s: float = 60.0
    unanswered_limit: int = 3
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class BroadcastSettings:
    """The coordinator's, for what a group is sent.

    Attributes
    ----------
    chunk_bytes
        Of data in a chunk, and in an inline envelope.
    bytes_per_s
        Of chunk data, on average; ``burst_bytes`` may go at once.
    collect_s
        How long wishes are collected before they are met, at the most; jittered.
    interval_s
        No chunk, nor the manifest, is published more often. A wish that comes sooner is dropped: it was on its way
        when the chunk was, and if not, it comes again.
    """

    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    bytes_per_s: float = 64e6
    burst_bytes: int = 2_000_000
    collect_s: float = 0.5
    interval_s: float = 2.0


@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """A device's, for what its group is sent.

    Attributes
    ----------
    envelope_limit_bytes, chunk_limit_bytes, chunk_count_limit
        What a manifest may announce.
    quiet_s
        Without anything new for this long, up to jitter, it asks; each next wait is twice as long, until something
        new comes.
    quiet_limit_s
        The longest wait.
    want_limit
        Wishes in a row without anything new, after which it stops asking until something comes or it reconnects.
    early_chunks
        Chunks kept that came before their manifest; others are asked for again.
    """

    envelope_limit_bytes: int = 512 * 1024 * 1024
    chunk_limit_bytes: int = DEFAULT_CHUNK_BYTES
    chunk_count_limit: int = 8192
    quiet_s: float = 2.0
    quiet_limit_s: float = 30.0
    want_limit: int = 40
    early_chunks: int = 8
