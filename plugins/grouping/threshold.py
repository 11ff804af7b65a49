"""Groups by rules: conditions on a device's hardware, in the order from the weakest group to the strongest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits, Tier

if TYPE_CHECKING:
    import polars as pl

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_REST: Final = "no rule holds"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group, and who is in it.

    Attributes
    ----------
    name
        Of the group, for messages.
    where
        A condition in SQL on the columns of the fleet's table, as `polars.sql_expr` reads it: ``memory_bytes < 2e9``,
        ``cpu_flops < 1e10 OR uplink_bytes_per_s < 1e5``, ``cpu_flops < AVG(cpu_flops)``.
    """

    name: _Text
    where: _Text


class ThresholdOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ThresholdPolicy`.

    Attributes
    ----------
    rules
        From the weakest group to the strongest; the first that holds places a device:
        ``[{name = "small", where = "memory_bytes < 2e9"}, {name = "middle", where = "memory_bytes < 8e9"}]``.
    otherwise
        What becomes of a device for which no rule holds: it is in a group above all others, or left out, with the
        reason.
    """

    rules: Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1)]
    otherwise: Literal["strongest", "leave-out"] = "strongest"

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError(f"two rules have one name: {', '.join(names)}")


class ThresholdPolicy:
    """Places each device by the first rule that holds for it.

    A condition on a quantity that the device does not report neither holds nor fails, unless the rest of it decides
    (``power_w < 5 OR cpu_count < 2``). Where no rule holds and one could not be judged, the device is left out: the
    strongest group is no place for what is not known. Write ``power_w IS NULL OR power_w < 5`` to have such devices.

    A group of fewer than three is merged into the next weaker one, and the weakest takes in the next stronger: what the
    coordinator does when devices are lost.

    Raises
    ------
    ConfigurationError
        If a condition cannot be read.
    """

    def __init__(self, options: ThresholdOptions) -> None:
        self._options = options
        self._conditions = [(rule, _condition(rule)) for rule in options.rules]

    def group(self, fleet: "pl.DataFrame", offers: Sequence[Tier], limits: RoundLimits) -> Grouping:  # noqa: ARG002
        """Divide the fleet, whatever is on offer.

        Raises
        ------
        ConfigurationError
            If a condition cannot be applied to the fleet, or gives anything but true and false.
        """
        table = fleet.sort("device")  # a condition may be one of the order, and rows come in any
        devices = [DeviceId(device) for device in table.get_column("device").to_list()]
        verdicts = [_judged(rule, condition, table) for rule, condition in self._conditions]
        groups: list[list[DeviceId]] = [[] for _ in range(len(verdicts) + 1)]
        reasons: dict[DeviceId, str] = {}
        unplaced: dict[DeviceId, str] = {}
        for device, told in zip(devices, zip(*verdicts, strict=True), strict=True):
            place = told.index(True) if True in told else len(told)
            why = self._named(place)
            if place == len(told) and (None in told or self._options.otherwise == "leave-out"):
                unknown = [rule.name for rule, holds in zip(self._options.rules, told, strict=True) if holds is None]
                lacks = f"; of {', '.join(unknown)} it cannot be told, since it does not report all of it"
                unplaced[device] = why + (lacks if unknown else "")
            else:
                groups[place].append(device)
                reasons[device] = why
        return self._merged(groups, reasons, unplaced)

    def _merged(
        self, groups: list[list[DeviceId]], reasons: dict[DeviceId, str], unplaced: dict[DeviceId, str]
    ) -> Grouping:
        there = [place for place, devices in enumerate(groups) if devices]
        for source, target in _mergers({place: len(groups[place]) for place in there}):
            for device in groups[source]:
                reasons[device] += f"; merged into the group of: {self._named(target)}"
            groups[target] += groups[source]
            groups[source] = []
        formed = [tuple(sorted(devices)) for devices in groups if devices]
        if len(formed) == 1 and len(formed[0]) < MINIMUM:
            reason = f"only {len(formed[0])} of the fleet's devices could be placed, a group needs at least {MINIMUM}"
            unplaced |= dict.fromkeys(formed.pop(), reason)
        return Grouping(
            groups=tuple(formed),
            unplaced=unplaced,
            reasons={device: why for device, why in reasons.items() if device not in unplaced},
        )

    def _named(self, place: int) -> str:
        rules = self._options.rules
        return f"{rules[place].name}: {rules[place].where}" if place < len(rules) else _REST


def _mergers(sizes: dict[int, int]) -> list[tuple[int, int]]:
    """Return which groups go into which, in this order, until each of them has three devices or only one is left.

    ``sizes`` has the number of devices of each group that there is, from the weakest to the strongest.
    """
    left, mergers = dict(sizes), []
    while len(left) > 1:
        small = [place for place, size in left.items() if size < MINIMUM]
        if not small:
            break
        places = list(left)
        where = places.index(small[-1])
        source, target = (places[where], places[where - 1]) if where else (places[1], places[0])
        left[target] += left.pop(source)
        mergers.append((source, target))
    return mergers


def _condition(rule: Rule) -> "pl.Expr":
    import polars as pl

    try:
        condition = pl.sql_expr(rule.where)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(f"{_subject(rule)} cannot be read: {_first_line(error)}") from error
    if not condition.meta.eq(condition.meta.undo_aliases()):  # a number like 2_000 is read as 2, named _000
        raise ConfigurationError(
            f"{_subject(rule)} gives its result a name ({condition.meta.output_name()!r}), which says nothing in a "
            "condition: write numbers without _, and no AS"
        )
    return condition


def _judged(rule: Rule, condition: "pl.Expr", table: "pl.DataFrame") -> list[bool | None]:
    """Return for each device whether a rule holds; None where that cannot be told."""
    import polars as pl

    for name in condition.meta.root_names():
        if name not in table.columns:
            raise ConfigurationError(
                f"{_subject(rule)} asks for {name!r}, which no device of this fleet reports"
                f"{nearest(name, table.columns)}; there are {', '.join(table.columns)}"
            )
    try:
        verdict = table.select(pl.col("device"), condition.alias("holds")).get_column("holds")
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(
            f"{_subject(rule)} cannot be applied to the columns {_typed(table)}: {_first_line(error)}"
        ) from error
    if verdict.dtype != pl.Boolean:
        raise ConfigurationError(
            f"{_subject(rule)} gives values of type {verdict.dtype}, a condition gives true or false: compare "
            f"something, of {', '.join(table.columns)}"
        )
    return verdict.to_list()


def _subject(rule: Rule) -> str:
    return f"rule {rule.name!r} of grouping policy 'threshold', {rule.where!r},"


def _typed(table: "pl.DataFrame") -> str:
    return ", ".join(f"{name} ({'text' if name == 'device' else 'number'})" for name in table.columns)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
