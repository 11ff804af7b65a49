"""A network of its own for some processes, behind a link that can be taken down.

A Linux network namespace, and a pair of virtual Ethernet devices between it and ours. It needs root. All of it is gone
with the context, and what a killed run has left is removed by the next one.
"""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_IP = shutil.which("ip", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
_NAME = re.compile(r"tw(\d+)x(\d+)")
"""Of a namespace and its link: whose process made them, and which network they have."""
NET = "198.18"
"""198.18.0.0/15 is for tests of networks (RFC 2544), so nobody else uses it."""


class Namespace:
    """A network namespace.

    Attributes
    ----------
    host
        Our address on the link: what processes in the namespace connect to.
    command
        What stands before a command that is to run in it.
    """

    def __init__(self, owner: int, number: int) -> None:
        assert _IP is not None
        name, net = f"tw{owner}x{number}", f"{NET}.{number}"
        self.host = f"{net}.1"
        self.command = (_IP, "netns", "exec", name)
        self._name = name
        self._net = net

    def cut(self) -> None:
        """Take the link down: packets vanish, and neither side is told."""
        _ip("link", "set", self._name, "down")

    def mend(self) -> None:
        """Take the link up again."""
        _ip("link", "set", self._name, "up")

    def _make(self) -> None:
        name, net = self._name, self._net
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "uplink", "netns", name)
        _ip("address", "add", f"{net}.1/24", "dev", name)
        # While the link is down, its network must not be looked for elsewhere.
        _ip("route", "add", "blackhole", f"{net}.0/24", "metric", "4000")
        _ip("-n", name, "address", "add", f"{net}.2/24", "dev", "uplink")
        _ip("-n", name, "link", "set", "uplink", "up")
        self.mend()

    def _remove(self) -> None:
        for command in (
            ("route", "del", "blackhole", f"{self._net}.0/24", "metric", "4000"),
            ("link", "del", self._name),
            ("netns", "del", self._name),
        ):
            with suppress(OSError):
                _ip(*command)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Give a namespace with a good link.

    Raises
    ------
    OSError
        If none can be made here: no Linux, no root, no iproute2.
    """
    if _IP is None:
        raise OSError("there is no `ip` here")
    _remove_left_over()
    taken = {number for _, number in left_over()}  # by other tests
    made = Namespace(os.getpid(), random.choice([number for number in range(1, 255) if number not in taken]))
    try:
        made._make()
        yield made
    finally:
        made._remove()


def left_over() -> set[tuple[int, int]]:
    """Return owner and number of each namespace and link that was made here, by any process, and is there still."""
    if _IP is None:
        return set()
    found = _NAME.finditer(_ip("netns", "list") + _ip("-brief", "link"))
    return {(int(match[1]), int(match[2])) for match in found}


def _remove_left_over() -> None:
    for owner, number in left_over():
        if not _lives(owner):
            Namespace(owner, number)._remove()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _ip(*arguments: str) -> str:
    assert _IP is not None
    done = subprocess.run([_IP, *arguments], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
