"""A configuration that was changed while the coordinator was down: refused by its key, or allowed."""

import signal

from tests.runtime.programs.processes import Running, configuration


def has(kind: str):
    def reached(one: Running) -> bool:
        return any(line.get("event") == kind for line in one.lines())

    return reached


def test_a_changed_option_is_refused_unless_it_is_allowed(stage, here) -> None:
    path, more = stage.folder / "run.toml", '[store]\npath = "run.db"\n'

    def written(rounds: int):
        return configuration(path, stage.broker, name="changed", more=more, stop=f"rounds = {rounds}")

    coordinator = stage.start("coordinator", "coordinator", written(10), "--log-json")
    coordinator.until(has("federation-opened"))
    assert coordinator.told(signal.SIGTERM) == 143

    code, _, err = here("coordinator", written(20))
    assert code == 2
    assert "error: stop.rounds is 20, the store's federation was opened with 10: go on with that, or give" in err
    assert err.endswith("or allow this change (--allow-change stop.rounds)\n")

    longer = stage.start("longer", "coordinator", path, "--log-json", "--allow-change", "stop.rounds")
    longer.until(has("policies-changed"))
    assert longer.told(signal.SIGTERM) == 143
