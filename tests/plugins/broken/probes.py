"""Probes, right and broken."""

import time

import anyio

from tierwise.core.hardware import Unmeasured


class Right:
    async def measure(self):
        return {"disk_bytes": 1e12, "cpu_count": 4}


class NotNumbers(Right):
    async def measure(self):
        return {"cpu_count": "four"}


class NotFinite(Right):
    async def measure(self):
        return {"disk_bytes": float("nan")}


class WithoutReason(Right):
    async def measure(self):
        return {"battery_ratio": Unmeasured("")}


class NotInSiUnits(Right):
    async def measure(self):
        return {"disk_gb": 1000.0}


class Blocking(Right):
    async def measure(self):
        time.sleep(0.3)  # noqa: ASYNC251  (that is the fault)
        return {"disk_bytes": 1e12}


class Clinging(Right):
    async def measure(self):
        await anyio.to_thread.run_sync(time.sleep, 0.5)
        return {"disk_bytes": 1e12}


class MeasuresNothing:
    async def measure(self):
        return {}


class TellsWhy:
    async def measure(self):
        return {"battery_ratio": Unmeasured("there is no battery"), "mains_bool": 1.0}


RIGHT = {"right": Right(), "nothing could be measured": MeasuresNothing(), "with a reason": TellsWhy()}
BROKEN = {
    "quantities are named numbers": NotNumbers(),
    "values suit their unit": NotFinite(),
    "what is not measured has a reason": WithoutReason(),
    "names end with an SI unit": NotInSiUnits(),
    "the event loop stays responsive": Blocking(),
    "who is cancelled lets go": Clinging(),
}
