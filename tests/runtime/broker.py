"""A real mosquitto on a free port of loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

HOST = "127.0.0.1"
START_S = 10.0
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))

MOSQUITTO = shutil.which("mosquitto", path=_PLACES)
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed: `apt-get install mosquitto` brings it"
)


class Broker:
    """A mosquitto that can be stopped, started again on the same port, and told to read its access list again.

    Parameters
    ----------
    directory
        For its files; `log` is among them.
    users
        Names and passwords; None lets everybody in.
    acl
        The access list; None allows everything.
    more
        Lines for its configuration, such as ``persistence true`` or a second listener.
    """

    def __init__(
        self, directory: Path, *, users: Mapping[str, str] | None = None, acl: str | None = None, more: str = ""
    ) -> None:
        self.host = HOST
        self.port = 0
        self.log = directory / "mosquitto.log"
        self._directory = directory
        self._users = users
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None
        self._has_acl = acl is not None
        if users is not None:
            self.set_users(users)
        if acl is not None:
            self.set_acl(acl)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def set_users(self, users: Mapping[str, str]) -> None:
        """Write the password file, which mosquitto reads at the start and at `reload`."""
        path = self._directory / "passwords"
        path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
        hasher = shutil.which("mosquitto_passwd", path=_PLACES)
        assert hasher is not None
        subprocess.run([hasher, "-U", path], check=True, capture_output=True)

    def set_acl(self, acl: str) -> None:
        """Write the access list, likewise."""
        (self._directory / "acl").write_text(acl)

    def start(self) -> None:
        """Start it and wait until it listens: on its former port, or the first time on a free one."""
        for _ in range(5):
            port = self.port or free_port()
            if self._listens(port):
                self.port = port
                return
            assert not self.port, f"mosquitto does not start again:\n{self.log.read_text()}"
        raise AssertionError(f"mosquitto does not start:\n{self.log.read_text()}")

    def stop(self, *, kill: bool = False) -> None:
        """End it, with SIGKILL on demand; nothing happens if it is not running."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(10)
        self._process = None

    def reload(self) -> None:
        """Have it read passwords and access list again, and wait until it says so in its log."""
        size = self.log.stat().st_size
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + START_S
        while b"Reloading config" not in self.log.read_bytes()[size:]:
            assert time.monotonic() < deadline, "mosquitto does not hear SIGHUP"
            time.sleep(0.01)

    def _listens(self, port: int) -> bool:
        assert MOSQUITTO is not None
        config = self._directory / "mosquitto.conf"
        config.write_text(self._configuration(port))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", config], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return True
        self.stop(kill=True)
        return False

    def _configuration(self, port: int) -> str:
        lines = [
            f"listener {port} {HOST}",
            "set_tcp_nodelay true",
            f"allow_anonymous {'true' if self._users is None else 'false'}",
            "log_dest stderr",
            "log_type all",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            lines.append("user root")  # or it could not read what only we may read
        if self._users is not None:
            lines.append(f"password_file {self._directory / 'passwords'}")
        if self._has_acl:
            lines.append(f"acl_file {self._directory / 'acl'}")
        return "\n".join((*lines, self._more, ""))


@contextmanager
def running(
    directory: Path, *, users: Mapping[str, str] | None = None, acl: str | None = None, more: str = ""
) -> Iterator[Broker]:
    """Give a running broker; see `Broker`. Who calls it is marked `needs_mosquitto`."""
    broker = Broker(directory, users=users, acl=acl, more=more)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def free_port() -> int:
    """Return a port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
