"""The fields of ``result.json`` and of the cards, from their types."""

import re

import msgspec
import msgspec.inspect as mi
from markdown import cell, table, text

from tierwise.core.events import PluginUsed
from tierwise.core.metrics import MetricFigure
from tierwise.core.tiers import Cost
from tierwise.plugins.docstrings import attributes, prose
from tierwise.runtime.evaluation import ClassFigures, Evaluation, GroupEvaluation, WorstTenth
from tierwise.runtime.figures import RunFigures
from tierwise.runtime.group_figures import GroupFigures, RoundFigures
from tierwise.runtime.output import Card, Report, Versions
from tierwise.runtime.targets import Current, Kept, TargetCard

RESULT = {
    "the document": Report,
    "`run`": RunFigures,
    "`run.groups`, each": GroupFigures,
    "`run.groups` · `history`, each": RoundFigures,
    "`run.evaluation`, and each of `run.history`": Evaluation,
    "`evaluation.groups`, each": GroupEvaluation,
    "`evaluation.classes`, each": ClassFigures,
    "`evaluation.worst_tenth`": WorstTenth,
    "`metrics`, `test`: by a metric's name": MetricFigure,
    "`plugins`, each": PluginUsed,
    "`versions`": Versions,
}
CARDS = {
    "a card of `simulate`, `coordinator` and `replay`": Card,
    "a card of `agent`": TargetCard,
    "`cost`": Cost,
    "`current.json`": Current,
    "`current`, `previous`": Kept,
}
NAMES = {
    mi.IntType: "whole number",
    mi.FloatType: "number",
    mi.StrType: "text",
    mi.BoolType: "true or false",
    mi.AnyType: "anything",
    mi.NoneType: "null",
    mi.DateTimeType: "time",
}


def blocks() -> dict[str, str]:
    """Return the generated blocks of the page."""
    return {"result": _sections(RESULT), "cards": _sections(CARDS)}


def _sections(kinds: dict[str, type[msgspec.Struct]]) -> str:
    parts = []
    for where, kind in kinds.items():
        parts += [f"### {where[0].upper()}{where[1:]}", text(prose(kind)).partition("\n\n")[0], _fields(kind)]
    return "\n\n".join(parts)


def _fields(kind: type[msgspec.Struct]) -> str:
    meanings = attributes(kind)
    found = mi.type_info(kind)
    assert isinstance(found, mi.StructType)
    rows = []
    for field in found.fields:
        if field.name not in meanings:
            raise SystemExit(f"{field.name!r} is not explained in the docstring of {kind.__name__}")
        rows.append((f"`{field.encode_name}`", _type(field.type), cell(_null(meanings[field.name]))))
    return table(("field", "what it is", "what it says"), rows)


def _null(meaning: str) -> str:
    return re.sub(r"\bNone\b", "null", meaning)


def _type(found: mi.Type) -> str:
    match found:
        case mi.UnionType(types=types):
            return " or ".join(_type(one) for one in types)
        case mi.DictType(value_type=value):
            return "object" if isinstance(value, mi.AnyType | mi.UnionType) else f"object of {_type(value)}s"
        case mi.VarTupleType(item_type=item) | mi.ListType(item_type=item):
            return f"array of {_type(item)}s"
        case mi.StructType():
            return "object"
        case mi.LiteralType(values=values):
            return " or ".join(f'`"{one}"`' for one in values)
        case _:
            return NAMES[type(found)]
