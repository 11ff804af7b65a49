"""Programs over mosquitto, with keys: strong devices help the weak group, and end with their own group's model."""

from tests.runtime.programs.nothing_lost import events, targets
from tests.runtime.programs.processes import configuration


def test_strong_devices_are_guests_of_the_weak_group(stage) -> None:
    stage.enrol("visited")
    more = '[security]\nregistry = "registry"\n'
    file = configuration(stage.folder / "run.toml", stage.broker, name="visited", more=more)
    file.write_text(file.read_text().replace("[rounds]", "[rounds]\ndownward = true"))
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    agents = stage.agents(name="visited")
    assert coordinator.wait() == 0, coordinator.err.read_text()
    assert [agent.wait() for agent in agents] == [0] * 6
    rounds = [event for event in events(coordinator, "round-opened") if event["purpose"] == "fit"]
    assert {(event["group"], tuple(event["guests"])) for event in rounds} == {("g1", ("d3", "d4", "d5")), ("g2", ())}
    counted = {(event["group"], event["devices"]) for event in events(coordinator, "round-closed")}
    assert counted == {("g1", 6), ("g2", 3)}
    assert {group: (len(models), len(set(models))) for group, models in targets(stage.folder).items()} == {
        "g1": (3, 1),
        "g2": (3, 1),
    }
    assert "in g2, with tier mlp-16; a guest of g1, when there is time" in agents[5].err.read_text()
