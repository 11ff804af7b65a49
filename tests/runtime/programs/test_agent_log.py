"""What an agent tells its user of what goes wrong."""

import io
import json
import signal

from tests.runtime.programs.processes import configuration
from tierwise.core import messages as m
from tierwise.core.events import Refusal
from tierwise.core.ids import CohortId
from tierwise.runtime.cli.logging import JsonLog, TextLog

LATE = m.Receipt(
    cohort=CohortId("g1.r7"), refusal=Refusal.LATE, reason="it came 0.3 s after the deadline of cohort g1.r7"
)


def test_an_update_that_came_too_late_is_a_warning() -> None:
    lines = []
    TextLog(lambda line, level: lines.append((level, line.split("  ", 1)[1]))).said(LATE, sent=False)
    text = "warning: g1.r7: not counted: it came 0.3 s after the deadline of cohort g1.r7"
    assert lines == [("warning", text)]
    stream = io.StringIO()
    JsonLog(stream).said(LATE, sent=False)
    told = json.loads(stream.getvalue())
    assert (told["level"], told["received"], told["refusal"]) == ("warning", "receipt", "late")


def test_a_missed_deadline_and_quantities_that_nobody_reads_are_told(stage) -> None:
    tiers = 'provider = "leisurely"\nfit_s = 600'
    file = configuration(
        stage.folder / "run.toml", stage.broker, name="missing", devices=3, groups=1, deadline_s=1, tiers=tiers, more=""
    )
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    stage.agents(name="missing", count=2)
    late = stage.agent(2, "--declare", "rain_m=3", "--declare", "batery_ratio=0.5", name="missing")
    late.until(lambda one: "g1.r1: the deadline is missed: its round ended before the work" in one.err.read_text())
    said = late.err.read_text()
    assert "warning: rain_m is no quantity that tierwise reads; a policy of yours may\n" in said
    assert "batery_ratio is no quantity that tierwise reads (did you mean 'battery_ratio'?); a policy of yours" in said
    assert "cpu_flops is no quantity" not in said
    assert late.told(signal.SIGTERM) == 143
    assert coordinator.told(signal.SIGTERM) == 143
