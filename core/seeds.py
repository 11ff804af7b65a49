"""Seeds that are derived, not drawn: from the federation's seed and the names of what they are for."""

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """Return a seed in ``[0, 2**63)`` for a purpose; the same arguments always give the same one."""
    text = "\x1f".join((str(seed), *names))  # the unit separator keeps ("a", "bc") and ("ab", "c") apart
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
