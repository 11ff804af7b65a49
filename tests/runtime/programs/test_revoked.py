"""A device that is revoked while a federation learns: it is told, and its agent ends."""

from tests.runtime.programs.nothing_lost import events
from tests.runtime.programs.processes import STORE, configuration, tierwise


def test_a_revoked_device_is_told_and_the_others_go_on(stage) -> None:
    stage.enrol("revoking")
    more = STORE + '[security]\nregistry = "registry"\n'
    file = configuration(
        stage.folder / "run.toml", stage.broker, name="revoking", rounds=6, deadline_s=8, groups=1, more=more,
        tiers='provider = "leisurely"\nfit_s = 0.2',
    )  # fmt: skip
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    agents = stage.agents(name="revoking")
    coordinator.until(lambda one: bool(events(one, "round-closed")))
    assert tierwise("revoke", "d5", "--registry", "registry", cwd=stage.folder)[0] == 0
    assert agents[5].wait() == 1, "it is refused"
    said = agents[5].err.read_text()
    assert "error: the coordinator refused device 'd5': its key was revoked" in said
    assert [agent.wait() for agent in agents[:5]] == [0] * 5
    assert coordinator.wait() == 0
    lost = events(coordinator, "device-lost")
    assert {(one["device"], one["reason"].partition(";")[0]) for one in lost} == {("d5", "its key was revoked")}
    code, out, err = tierwise("status", file, "--devices", COLUMNS="80")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.startswith("d")]
    assert [row[:3] for row in rows[-6:]] == [[f"d{n}", "g1", "here"] for n in range(5)] + [["d5", "g1", "revoked"]]
    assert max(len(line) for line in out.splitlines() if line.startswith(("d", "g"))) <= 80
