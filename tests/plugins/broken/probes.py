"""Probes, right and broken."""

import time


class Right:
    async def measure(self):
        return {"disk_bytes": 1e12, "cpu_count": 4}


class NotNumbers(Right):
    async def measure(self):
        return {"cpu_count": "four"}


class NotFinite(Right):
    async def measure(self):
        return {"disk_bytes": float("nan")}


class NotInSiUnits(Right):
    async def measure(self):
        return {"disk_gb": 1000.0}


class Blocking(Right):
    async def measure(self):
        time.sleep(0.3)  # noqa: ASYNC251  (that is the fault)
        return {"disk_bytes": 1e12}


class MeasuresNothing:
    async def measure(self):
        return {}


RIGHT = {"right": Right(), "nothing could be measured": MeasuresNothing()}
BROKEN = {
    "quantities are named numbers": NotNumbers(),
    "quantities are finite and not negative": NotFinite(),
    "names end with an SI unit": NotInSiUnits(),
    "the event loop stays responsive": Blocking(),
}
