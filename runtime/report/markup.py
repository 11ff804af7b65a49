"""Pieces of HTML; whatever comes from a run is escaped here."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from tierwise.runtime.report.drawing import Chart

MOST_ROWS: Final = 300
"""Of a table."""
PROSE: Final = 40
"""Characters of a cell from which on it may have several lines."""


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[str] = ()) -> str:
    """Return a table that scrolls sideways where there is no room, and says how many rows it leaves out.

    Parameters
    ----------
    caption
        What it shows, with units.
    columns
        Headings.
    rows
        A text for each column; the first one heads its row.
    numbers
        The columns that are set to the right.
    """
    right = [name in set(numbers) for name in columns]
    head = "".join(
        f'<th scope="col"{_kind("", is_number)}>{escape(name)}</th>'
        for name, is_number in zip(columns, right, strict=True)
    )
    body = "\n".join(_row(row, right) for row in rows[:MOST_ROWS])
    told = escape(caption, quote=True)
    more = f'<p class="note">The first {MOST_ROWS} of {len(rows):,} rows; all are in result.json.</p>'
    return (
        f'<p class="caption" aria-hidden="true">{told}</p>\n'
        f'<div class="wide" role="region" tabindex="0" aria-label="{told}"><table>\n'
        f"<caption>{told}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
        f"{more if len(rows) > MOST_ROWS else ''}"
    )


def _row(cells: Sequence[str], right: Sequence[bool]) -> str:
    head, *rest = cells
    return (
        f'<tr><th scope="row">{escape(head)}</th>'
        + "".join(
            f"<td{_kind(cell, is_number)}>{escape(cell)}</td>" for cell, is_number in zip(rest, right[1:], strict=True)
        )
        + "</tr>"
    )


def _kind(cell: str, is_number: bool) -> str:
    if is_number:
        return ' class="number"'
    return ' class="prose"' if len(cell) > PROSE else ""


def folded(summary: str, content: str) -> str:
    """Return what is shown when it is asked for, and on paper."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}</details>\n"


def section(name: str, title: str, *content: str) -> str:
    """Return a section with a heading."""
    body = "\n".join(one for one in content if one)
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>\n'


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph."""
    return f"<p{f' class={kind!r}' if kind else ''}>{escape(text)}</p>\n"


def bullets(texts: Sequence[str]) -> str:
    """Return a list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>\n"


def figure(name: str, chart: Chart) -> str:
    """Return a chart: its title, the place where it is drawn, its specification, and what it leaves out."""
    note = f'<p class="note">{escape(chart.note)}</p>' if chart.note else ""
    return (
        f'<figure><figcaption id="{name}-caption">{escape(chart.title)}</figcaption>\n'
        f'<div class="chart" id="{name}-chart" data-spec="{name}-spec" role="img" '
        f'aria-labelledby="{name}-caption" aria-describedby="{name}-told"></div>\n'
        f'<p class="told" id="{name}-told">{escape(chart.description)}</p>{note}\n'
        f'<script type="application/json" id="{name}-spec">{data(chart.spec)}</script></figure>\n'
    )


def data(value: object) -> str:
    """Return plain values as JSON that can stand in a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
