"""Tells the user of an agent when the coordinator does not answer, and why that may be.

What a coordinator drops (a wrong key, a revoked device) it drops without a word, or whoever sends garbage could have it
talk. So the agent looks at what it knows itself: whether a coordinator says that it is there, and what did not stand
the check of its signature.
"""

from typing import Final

import anyio

from tierwise.runtime.cli.agent_link import AgentLink
from tierwise.runtime.cli.logging import Level, Log
from tierwise.runtime.cli.overhearing import Overheard
from tierwise.runtime.security.signing import Rejection

PATIENCE_S: Final = 10.0
"""A hello without an answer for so long is told; by then it was said twice. Each next time, after twice as long."""
PATIENCE_LIMIT_S: Final = 600.0


async def tell_unanswered(link: AgentLink, transport: Overheard, log: Log) -> None:
    """Tell again and again, for ever, that the coordinator does not answer, as long as it does not.

    Nothing is told while there is no connection to the broker: that is told elsewhere.
    """
    patience_s = PATIENCE_S
    while True:
        await anyio.sleep(min(patience_s, PATIENCE_S) / 10)
        asked_at, heard_at = transport.asked_at, link.transport.heard_at
        if asked_at is None or not link.transport.connected:
            continue
        if heard_at is not None and heard_at >= asked_at:
            transport.asked_at = None
            patience_s = PATIENCE_S
        elif (silent_s := anyio.current_time() - asked_at) >= patience_s:
            patience_s = min(max(patience_s, silent_s) * 2, silent_s + PATIENCE_LIMIT_S)
            federation = link.settings.federation
            log.remark(
                f"no answer for {silent_s:.0f} s from the coordinator of federation {federation}: {likely_cause(link)}",
                Level.WARNING,
            )


def likely_cause(link: AgentLink) -> str:
    """Return what the agent knows about why nobody answers, and what to do."""
    rejected, signed = link.trust.verifier.rejected, link.trust.signed
    if rejected[Rejection.VERSION]:
        return "its tierwise speaks another version of the protocol: upgrade the older one of the two"
    if rejected[Rejection.SCHEME]:
        if signed:
            return "it signs nothing, and this agent has a bundle: set `security.registry` in its configuration"
        return "it signs what it says, and this agent has no --bundle: `tierwise enrol` on its machine makes one"
    if link.transport.coordinator_there and signed:
        return (
            f"it is there, and drops what it hears. As a rule it knows {link.device!r} by another key than this "
            "bundle's: the device was revoked, or enrolled anew since. `tierwise enrol` on the coordinator's machine "
            "writes a new bundle. Else the broker's access list may not let the device speak"
        )
    if link.transport.coordinator_there:
        return "it is there, and says nothing: look into its log"
    if rejected[Rejection.FORGED]:
        return (
            "whoever answers in its place has another key than the one in this bundle, as when its registry was made "
            "anew: `tierwise enrol` on the coordinator's machine writes a new bundle"
        )
    where = f"{link.settings.url} below {link.settings.prefix}/{link.settings.federation}/"
    if link.transport.coordinator_left:
        return (
            f"it has left {where}, and said: {link.transport.coordinator_left}. Started again with its store, it "
            "gives this device what it has missed; started with a new one, it learns anew. This agent goes on waiting"
        )
    return f"none is there at {where}: start it, or check broker, federation and prefix. This agent goes on waiting"
