"""A device that is revoked while a federation learns: it is told, and its agent ends."""

from tests.runtime.programs.nothing_lost import events
from tests.runtime.programs.processes import STORE, configuration


def test_a_revoked_device_is_told_and_the_others_go_on(stage, here, monkeypatch) -> None:
    stage.enrol("revoking", 4)
    more = STORE + '[security]\nregistry = "registry"\n'
    file = configuration(
        stage.folder / "run.toml", stage.broker, name="revoking", devices=4, rounds=6, deadline_s=8, groups=1,
        tiers='provider = "leisurely"\nfit_s = 0.2', more=more,
    )  # fmt: skip
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    agents = stage.agents(name="revoking", count=4)
    coordinator.until(lambda one: bool(events(one, "round-closed")))
    assert here("revoke", "d3", "--registry", stage.folder / "registry")[0] == 0
    assert agents[3].wait() == 1, "it is refused"
    said = agents[3].err.read_text()
    assert "error: the coordinator refused device 'd3': its key was revoked" in said
    assert [agent.wait() for agent in agents[:3]] == [0] * 3
    assert coordinator.wait() == 0
    lost = events(coordinator, "device-lost")
    assert {(one["device"], one["reason"].partition(";")[0]) for one in lost} == {("d3", "its key was revoked")}
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = here("status", file, "--devices")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.startswith("d")]
    assert [row[:3] for row in rows[-4:]] == [[f"d{n}", "g1", "here"] for n in range(3)] + [["d3", "g1", "revoked"]]
    assert max(len(line) for line in out.splitlines() if line.startswith(("d", "g"))) <= 80
