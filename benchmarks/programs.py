"""The programs as a user starts them, each a process in a folder, and the bundles that devices are given."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tierwise.core.ids import DeviceId
from tierwise.runtime.security.bundle import Bundle
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.security.registry import Registry

PROGRAM: Final = (sys.executable, "-c", "from tierwise.runtime.cli import main; main()")


class Program(subprocess.Popen[bytes]):
    """``tierwise`` as a process; it is ended with the context.

    Parameters
    ----------
    folder
        Where it runs; what it prints goes into a file there.
    environment
        Its environment.
    log
        That file.
    *given
        The command and its arguments.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], log: str, *given: object) -> None:
        self.log = folder / log
        with self.log.open("wb") as file:
            super().__init__([*PROGRAM, *map(str, given)], cwd=folder, env=environment, stdout=file, stderr=file)

    def succeed(self, patience_s: float) -> None:
        """Wait for its end, which must be a good one."""
        if self.wait(patience_s) != 0:
            sys.exit(f"`tierwise {self.args[3]}` failed:\n{self.log.read_text()[-2000:]}")  # type: ignore[index]

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            self.terminate()
        self.wait()


def enrol(folder: Path, federation: str, broker: str, names: Sequence[str]) -> list[Path]:
    """Make a registry in a folder, as `tierwise enrol` does, and return the bundles of some devices."""
    registry = Registry.make(folder / "registry", federation=federation)
    coordinator, paths = registry.coordinator().public, []
    for name in names:
        bundle = Bundle(
            device=DeviceId(name),
            identity=Identity.make(),
            topics=registry.topics,
            coordinator=coordinator,
            broker=broker,
        )
        paths.append(folder / f"{name}.bundle.json")
        bundle.save(paths[-1])
        registry.enrol(bundle.device, bundle.identity.public)
    return paths


def events(result: Path) -> list[dict[str, Any]]:
    """Read the log of a federation: records, each with its time ``at`` and its ``event``."""
    found: list[dict[str, Any]] = msgspec.json.decode((result / "result.json").read_bytes())["events"]
    return found


def times(records: Sequence[Mapping[str, Any]], event: str) -> list[float]:
    """Return when events of one kind were decided, in seconds."""
    return [record["at"] for record in records if record["event"]["event"] == event]
