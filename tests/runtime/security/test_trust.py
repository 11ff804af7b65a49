"""The memory of what was accepted outlives a kill."""

import anyio
import pytest

from tierwise.runtime.security import trust as home
from tierwise.runtime.security.keys import Identity, KnownKey
from tierwise.runtime.security.ordering import ReplayGuard
from tierwise.runtime.security.signing import TO_COORDINATOR, FrameRejectedError, Rejection, Signer, Verifier

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Book:
    def __init__(self, identity):
        self._known = KnownKey.of(identity.public)

    def lookup(self, _sender):
        return self._known


async def test_what_was_accepted_is_written_down_while_the_program_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "SAVED_EVERY_S", 0.02)
    device, own = Identity.make(), Identity.make()
    trust = home.Trust.in_keys("coordinator", "f", own.signing, Book(device), tmp_path / "coordinator")
    said = {"kind": "ctl", "recipient": TO_COORDINATOR}
    frame = Signer("d0", "f", device.signing, boot=1).sign(b"hello", **said)
    path = tmp_path / "coordinator.orders.json"
    async with trust.remembered():
        trust.verifier.verify(frame, **said)
        with anyio.fail_after(10):
            while not path.exists() or not path.stat().st_size:  # noqa: ASYNC110  (nothing tells us)
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
        # As after a kill: another program starts from what is on the disk.
        again = Verifier("f", Book(device), ReplayGuard.load(path))
        with pytest.raises(FrameRejectedError) as raised:
            again.verify(frame, **said)
        assert raised.value.reason is Rejection.REPLAYED


async def test_at_the_end_it_is_written_down_once_more(tmp_path):
    device, own = Identity.make(), Identity.make()
    trust = home.Trust.in_keys("coordinator", "f", own.signing, Book(device), tmp_path / "coordinator")
    async with trust.remembered():
        assert not (tmp_path / "coordinator.orders.json").exists()
    assert (tmp_path / "coordinator.orders.json").exists()


async def test_without_keys_there_is_nothing_to_remember(tmp_path):
    async with home.Trust.none("coordinator", "f").remembered():
        pass
    assert list(tmp_path.iterdir()) == []
