"""The machine that the page on production describes, in a folder: its paths, its services, its commands.

The page's own texts are used, with other paths, names and ports; ``systemctl`` is a stand-in that starts and stops what
the units say, and ``chown`` does nothing, as nobody else is there to own anything.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.runtime.broker import Broker, free_port
from tests.runtime.programs.processes import PATIENCE_S, Running

PAGE = Path(__file__).parent.parent / "docs" / "howto" / "run-in-production.md"
TIERWISE = Path(sys.executable).parent / "tierwise"
FOLDERS = ("root", "bin", "etc/mosquitto/certs", "etc/systemd/system", "var/lib/mosquitto", "var/lib/tierwise", "log")

# It asks the test, which runs the services, and gives back what that answers.
SYSTEMCTL = """#!/bin/sh
echo "$@" > {asked}.new && mv {asked}.new {asked}
while [ -e {asked} ]; do sleep 0.05; done
"""


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return the page's code blocks, each with its language, by the title of its section."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        title = section.splitlines()[0]
        blocks = re.findall(r"^( *)```(\w+)\n(.*?)^ *```", section, re.DOTALL | re.MULTILINE)
        found[title] = [
            (language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE)) for indent, language, text in blocks
        ]
    return found


class PageBroker(Broker):
    """A mosquitto with the page's configuration."""

    def __init__(self, machine: "Machine") -> None:
        super().__init__(machine.top / "log")
        self.port = free_port()
        self._machine = machine

    def _configuration(self, port: int) -> str:
        return f"{self._machine.path('etc/mosquitto/mosquitto.conf').read_text()}\nuser root\nlog_type all\n"


class Machine:
    """A machine in a folder.

    Parameters
    ----------
    top
        The folder.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        for folder in FOLDERS:
            (top / folder).mkdir(parents=True)
        self.sections = sections()
        self.broker = PageBroker(self)
        self.services: dict[str, Running] = {}
        self._asked = top / "asked"
        (top / "bin/systemctl").write_text(SYSTEMCTL.format(asked=self._asked))
        (top / "bin/chown").write_text("#!/bin/sh\n")
        for stand_in in ("systemctl", "chown"):
            (top / "bin" / stand_in).chmod(0o755)
        (top / "bin/tierwise").symlink_to(TIERWISE)

    def path(self, relative: str) -> Path:
        return self.top / relative

    def here(self, text: str) -> str:
        """Return a text of the page for this machine."""
        text = text.replace("listener 8883", f"listener {self.broker.port} 127.0.0.1")
        text = text.replace("broker.example.org:8883", f"localhost:{self.broker.port}")
        text = text.replace("broker.example.org", "localhost").replace("install -o mosquitto", "install")
        text = text.replace("/opt/tierwise/bin/tierwise", str(TIERWISE))
        return re.sub(r"(?<![\w/])/(etc/(?:mosquitto|systemd)|var/lib)\b", rf"{self.top}/\1", text)

    def write(self, title: str) -> None:
        """Write the files of a section, each to the path in its first line."""
        for language, text in self.sections[title]:
            head = text.splitlines()[0]
            if language in ("conf", "toml", "ini") and head.startswith("# /"):
                Path(self.here(head.removeprefix("# "))).write_text(self.here(text))

    def run(self, title: str, *blocks: int) -> None:
        """Run a section's commands as they stand, all or some, in one shell that ends at the first failure."""
        commands = [text for language, text in self.sections[title] if language == "sh"]
        assert commands
        chosen = "".join(commands[number] for number in blocks) if blocks else "".join(commands)
        done = self._shell(self.here(chosen))
        assert done == 0, self.path("log/shell").read_text()

    def _shell(self, script: str) -> int:
        environment = {**os.environ, "HOME": str(self.path("root")), "PATH": f"{self.top}/bin:{_path()}"}
        with self.path("log/shell").open("wb") as log:
            shell = subprocess.Popen(
                ["bash", "-ec", script], cwd=self.path("root"), env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        try:
            while shell.poll() is None:
                assert time.monotonic() < deadline, self.path("log/shell").read_text()
                if self._asked.exists():
                    self._obey(*self._asked.read_text().split())
                    self._asked.unlink()
                time.sleep(0.02)
        finally:
            shell.kill()
            shell.wait(10)
        return shell.returncode

    # -- services

    def _obey(self, verb: str, service: str) -> None:
        match verb, service:
            case "restart", "mosquitto":
                self.broker.stop()
                self.broker.start()
            case "reload", "mosquitto":
                self.broker.reload()
            case "start", _:
                self.start(service)
            case "stop", _:
                assert self.stop(service) == 128 + signal.SIGTERM
            case _:
                raise AssertionError(f"systemctl {verb} {service}")

    def start(self, service: str, *instead: tuple[str, str]) -> Running:
        """Start an instance of a unit, with other words in its command."""
        unit, _, instance = service.partition("@")
        text = self.path(f"etc/systemd/system/{unit}@.service").read_text()
        (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        for there, here in instead:
            assert there in command
            command = command.replace(there, here)
        program, *arguments = command.replace("%i", instance).split()
        assert program == str(TIERWISE)
        self.services[service] = Running(self.path("var/lib/tierwise"), service, *arguments)
        return self.services[service]

    def stop(self, service: str) -> int:
        return self.services.pop(service).told(signal.SIGTERM)

    def close(self) -> None:
        for running in self.services.values():
            if running.process.poll() is None:
                running.process.kill()
            running.process.wait(10)
        self.broker.stop()


def _path() -> str:
    """Return where programs are, with those for root: mosquitto's may be there."""
    return os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


missing = [name for name in ("openssl", "jq", "tar", "bash") if shutil.which(name) is None]
