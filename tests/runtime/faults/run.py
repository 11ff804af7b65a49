"""A federation of real processes that goes on until the test says so."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.runtime.programs.processes import Running, Scene, configuration

CREW = (sys.executable, str(Path(__file__).with_name("crew.py")))
WEAK, STRONG = "1e9:600", "1e11:1e9"


class Federation:
    """A coordinator's process with a store, and what it says.

    Parameters
    ----------
    stage
        Whose broker and folder it uses.
    more
        For its configuration file.
    """

    def __init__(self, stage: Scene, *, pause_s: float = 0.05, more: str = "", **given: object) -> None:
        self._stage = stage
        self._signal = stage.folder / "stop"
        stop = f'rule = "told"\nfile = "{self._signal}"\npause_s = {pause_s}'
        more += '\n[store]\npath = "run.db"\n'
        file = configuration(stage.folder / "run.toml", stage.broker, stop=stop, more=more, **given)
        self.coordinator = stage.start("coordinator", "coordinator", file, "--log-json")

    def crew(self, name: str, broker: str, kind: str, parts: Sequence[int], command: Sequence[str] = ()) -> Running:
        """Start a process with some devices; ``command`` stands before its own."""
        devices = [f"d{part}={part}:{kind}" for part in parts]
        return self._stage.start(name, broker, "clouds", *devices, program=(*command, *CREW))

    def end(self) -> None:
        """Have the groups stop after the round that is open."""
        self._signal.touch()

    # -- what happened so far

    def events(self, name: str, group: str | None = None) -> list[dict]:
        """Return its events of a kind, all or a group's."""
        lines = self.coordinator.lines()
        return [one for one in lines if one.get("event") == name and group in (None, one.get("group"))]

    def rounds(self, group: str) -> int:
        """Return how many rounds a group has closed."""
        return len(self.events("round-closed", group))

    def until_rounds(self, group: str, more: int) -> None:
        """Wait until a group has closed some more rounds."""
        enough = self.rounds(group) + more
        self.coordinator.until(lambda _: self.rounds(group) >= enough)

    def until(self, name: str, group: str | None = None, *, times: int = 1) -> list[dict]:
        """Wait until something has happened, and return it."""
        self.coordinator.until(lambda _: len(self.events(name, group)) >= times)
        return self.events(name, group)


def targets(*crews: Running) -> dict[str, tuple[str, str]]:
    """Return each device's group and the identity of its target model, of crews that have ended."""
    for crew in crews:
        assert crew.wait() == 0, crew.err.read_text()
    return {line["device"]: (line["group"], line["model"]) for crew in crews for line in crew.lines()}
