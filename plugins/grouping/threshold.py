"""Groups by rules: conditions on a device's hardware, in the order from the weakest group to the strongest."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.grouping import MINIMUM, Grouping, Told
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits, Tier
from tierwise.plugins.grouping._fleet import by_id, named

if TYPE_CHECKING:
    import polars as pl

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_REST: Final = "no rule holds"
_NOWHERE: Final = -1
"""The place of a device that is left out; the others have the number of their rule, or that after the last one."""


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
        table = by_id(fleet)  # a condition may be one of the order, and rows come in any
        devices = table.get_column("device")
        verdicts = [_judged(rule, condition, table) for rule, condition in self._conditions]
        last = len(verdicts)
        place = np.full(len(devices), last)
        for number in reversed(range(last)):  # the first that holds is the last to be written
            place[verdicts[number].fill_null(value=False).to_numpy()] = number
        rest = np.flatnonzero(place == last)
        unplaced: dict[DeviceId, str] = {}
        for lacking, alike in _alike([verdict.is_null().to_numpy()[rest] for verdict in verdicts]):
            if lacking or self._options.otherwise == "leave-out":
                unplaced |= dict.fromkeys(named(devices, rest[alike]), self._not_placed(lacking))
                place[rest[alike]] = _NOWHERE
        return self._merged(devices, place, unplaced)

    def _not_placed(self, lacking: Sequence[int]) -> str:
        """Say of a device for which no rule holds why it is left out: of some rules, perhaps, that cannot be told."""
        if not lacking:
            return _REST
        rules = ", ".join(self._options.rules[number].name for number in lacking)
        return f"{_REST}; of {rules} it cannot be told, since it does not report all of it"

    def _merged(self, devices: "pl.Series", place: NDArray[np.intp], unplaced: dict[DeviceId, str]) -> Grouping:
        """Return the answer, with each place of too few merged into another."""
        sizes = np.bincount(place[place != _NOWHERE], minlength=len(self._options.rules) + 1).tolist()
        why = {one: self._named(one) for one, size in enumerate(sizes) if size}
        goes_to = {one: one for one in why}
        for source, target in _mergers({one: sizes[one] for one in why}):
            for one in (one for one, now in goes_to.items() if now == source):
                why[one] += f"; merged into the group of: {self._named(target)}"
                goes_to[one] = target
        formed = [
            np.flatnonzero(np.isin(place, [one for one, now in goes_to.items() if now == target]))
            for target in sorted(set(goes_to.values()))
        ]
        if len(formed) == 1 and len(formed[0]) < MINIMUM:
            reason = f"only {len(formed[0])} of the fleet's devices could be placed, a group needs at least {MINIMUM}"
            return Grouping(groups=(), unplaced=unplaced | dict.fromkeys(named(devices, formed[0]), reason))
        placed = np.flatnonzero(place != _NOWHERE)
        return Grouping(
            groups=tuple(named(devices, rows) for rows in formed),
            unplaced=unplaced,
            reasons=Told(devices.gather(placed), lambda number: why[int(place[placed[number]])]),
        )

    def _named(self, place: int) -> str:
        rules = self._options.rules
        return f"{rules[place].name}: {rules[place].where}" if place < len(rules) else _REST


def _alike(unknown: Sequence[NDArray[np.bool_]]) -> Iterator[tuple[tuple[int, ...], NDArray[np.intp]]]:
    """Yield sets of rules, and the rows of the devices of which just those rules cannot be told."""
    rows_of: dict[tuple[int, ...], NDArray[np.intp]] = {(): np.arange(len(unknown[0]))}
    for number, of_rule in enumerate(unknown):
        for lacking, rows in list(rows_of.items()):
            rows_of[*lacking, number], rows_of[lacking] = rows[of_rule[rows]], rows[~of_rule[rows]]
        rows_of = {lacking: rows for lacking, rows in rows_of.items() if len(rows)}
    yield from rows_of.items()


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


def _judged(rule: Rule, condition: "pl.Expr", table: "pl.DataFrame") -> "pl.Series":
    """Return for each device whether a rule holds; null where that cannot be told."""
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
    return verdict


def _subject(rule: Rule) -> str:
    return f"rule {rule.name!r} of grouping policy 'threshold', {rule.where!r},"


def _typed(table: "pl.DataFrame") -> str:
    return ", ".join(f"{name} ({'text' if name == 'device' else 'number'})" for name in table.columns)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
