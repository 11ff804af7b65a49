"""Grouping policies, right and broken."""

import math

import polars as pl

from tierwise.core.grouping import Grouping


class Right:
    """Cuts the fleet, sorted by memory, into halves of at least three."""

    def order(self, fleet):
        return fleet.sort("memory_bytes", "device")["device"].to_list()

    def group(self, fleet, offers, limits):
        ids = self.order(fleet)
        middle = len(ids) // 2
        halves = [ids] if middle < 3 else [ids[:middle], ids[middle:]]
        return Grouping(groups=tuple(tuple(sorted(half)) for half in halves))


class OneGroup:
    def group(self, fleet, offers, limits):
        return Grouping(groups=(tuple(sorted(fleet["device"])),))


class Picky:
    """Leaves out who does not tell its power."""

    def group(self, fleet, offers, limits):
        if "power_w" not in fleet.columns:
            return OneGroup().group(fleet, offers, limits)
        known = fleet.filter(pl.col("power_w").is_not_null())["device"].to_list()
        return Grouping(
            groups=(tuple(sorted(known)),),
            unplaced={device: "power_w is not known" for device in fleet["device"] if device not in known},
        )


class ChangesTheFleet(Right):
    def group(self, fleet, offers, limits):
        fleet.insert_column(1, pl.Series("score", range(len(fleet))))
        return super().group(fleet, offers, limits)


class ForgetsADevice(Right):
    def group(self, fleet, offers, limits):
        return super().group(fleet.head(max(3, len(fleet) - 1)), offers, limits)


class PairsGroup(Right):
    def group(self, fleet, offers, limits):
        ids = self.order(fleet)
        return Grouping(groups=tuple(tuple(sorted(ids[i : i + 2])) for i in range(0, len(ids), 2)))


class UnsortedGroup(Right):
    def group(self, fleet, offers, limits):
        groups = super().group(fleet, offers, limits).groups
        return Grouping(groups=tuple(group[::-1] for group in groups))


class NoReason(Picky):
    def group(self, fleet, offers, limits):
        grouping = super().group(fleet, offers, limits)
        return Grouping(groups=grouping.groups, unplaced=dict.fromkeys(grouping.unplaced, ""))


class ExplainsTheUnplaced(Picky):
    def group(self, fleet, offers, limits):
        grouping = super().group(fleet, offers, limits)
        return Grouping(
            groups=grouping.groups, unplaced=grouping.unplaced, reasons=dict.fromkeys(fleet["device"], "who knows")
        )


class StrongFirst(Right):
    def group(self, fleet, offers, limits):
        return Grouping(groups=super().group(fleet, offers, limits).groups[::-1])


class ByRow(Right):
    def group(self, fleet, offers, limits):
        ids = fleet["device"].to_list()
        if len(ids) != 30:
            return super().group(fleet, offers, limits)
        return Grouping(groups=(tuple(sorted(ids[:15])), tuple(sorted(ids[15:]))))


class Remembers(Right):
    """Puts everybody into one group once it has seen another fleet."""

    def __init__(self):
        self.last = 0

    def group(self, fleet, offers, limits):
        shrunk, self.last = len(fleet) == 30 and self.last == 17, len(fleet)
        return OneGroup().group(fleet, offers, limits) if shrunk else super().group(fleet, offers, limits)


class NeedsEveryQuantity(Right):
    def group(self, fleet, offers, limits):
        for column in fleet.columns[1:]:
            sum(fleet[column])
        return super().group(fleet, offers, limits)


class TakesLogarithms(Right):
    def group(self, fleet, offers, limits):
        for value in fleet["cpu_flops"]:
            math.log(value)
        return super().group(fleet, offers, limits)


class NeedsASpread(Right):
    def group(self, fleet, offers, limits):
        memory = fleet["memory_bytes"]
        if len(fleet) == 12:
            1 / (memory.max() - memory.min())
        return super().group(fleet, offers, limits)


class NeedsASpreadOfThree(Right):
    def group(self, fleet, offers, limits):
        memory = fleet["memory_bytes"]
        if len(fleet) == 3:
            1 / (memory.max() - memory.min())
        return super().group(fleet, offers, limits)


class SmallFleetsOnly(Right):
    def group(self, fleet, offers, limits):
        return super().group(fleet.head(500), offers, limits)


RIGHT = {"halves": Right(), "one group": OneGroup(), "leaves devices out": Picky()}
BROKEN = {
    "the fleet is left as it is": ChangesTheFleet(),
    "every device is answered once": ForgetsADevice(),
    "groups hold at least three": PairsGroup(),
    "a group is sorted by id": UnsortedGroup(),
    "groups go from weak to strong": StrongFirst(),
    "row order does not matter": ByRow(),
    "the same fleet gives the same groups": Remembers(),
    "unknown quantities are survived": NeedsEveryQuantity(),
    "zeros are survived": TakesLogarithms(),
    "an unplaced device has a reason": NoReason(),
    "a reason tells of a device that is placed": ExplainsTheUnplaced(),
    "equal devices are survived": NeedsASpread(),
    "three devices are enough": NeedsASpreadOfThree(),
    "a thousand devices are not too many": SmallFleetsOnly(),
}
