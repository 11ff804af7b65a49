"""Puts results into the page about performance: ``python benchmarks/page.py [--check]``.

Tables stand between markers, and what is written by hand around them stays::

    <!-- NAME: generated -->
    …
    <!-- NAME: end -->

NAME is a benchmark, or `goals` or `machine`. With ``--check`` nothing is written, and the exit code is 1 if the page is
not what the results say.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from plot import draw
from report import Row, number
from results import COMMITTED, Result, results

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = DOCS / "explanation" / "performance.md"
PICTURE: Final = DOCS / "images" / "performance.svg"
MARKED: Final = re.compile(r"^<!-- ([a-z_]+): generated -->$", re.MULTILINE)


def blocks(found: Mapping[str, Result]) -> dict[str, str]:
    """Return what belongs between the markers, by their names."""
    tables = {name: _table(one) for name, one in found.items()}
    return {"goals": _goals(found), "machine": _machines(found), **tables}


def filled(page: str, of_page: Mapping[str, str]) -> str:
    """Return a page with its blocks as they should be.

    Raises
    ------
    ValueError
        If the page lacks a place for a block, or has one for which there are no results.
    """
    places = MARKED.findall(page)
    if sorted(places) != sorted(of_page):
        missing, left = sorted(set(of_page) - set(places)), sorted(set(places) - set(of_page))
        raise ValueError(
            f"the page has no place for {missing}, and there are no results for {left}: a place is the two lines "
            "`<!-- NAME: generated -->` and `<!-- NAME: end -->`, results come from `make bench`"
        )
    for name, text in of_page.items():
        before, _, rest = page.partition(f"<!-- {name}: generated -->\n")
        _, end, after = rest.partition(f"<!-- {name}: end -->\n")
        if not end:
            raise ValueError(f"the page needs one line `<!-- {name}: end -->` after the marker of {name}")
        page = f"{before}<!-- {name}: generated -->\n\n{text}\n\n<!-- {name}: end -->\n{after}"
    return page


def write() -> None:
    """Write the tables and the picture anew."""
    found = results(COMMITTED)
    PAGE.write_text(filled(PAGE.read_text("utf-8"), blocks(found)), "utf-8")
    draw(found, PICTURE)


def _table(result: Result) -> str:
    told = (
        f"{result.title}: {result.seconds:.0f} s on {result.date}, load {result.load_before:g} before and "
        f"{result.load_after:g} after, commit {result.commit}."
    )
    lines = [
        "| | ratio | to | goal | figure | beside |",
        "|---|---:|---|---|---:|---:|",
        *(_line(row) for row in result.rows),
        "",
        told,
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    goal = "" if row.goal is None else f"{row.goal}: {'met' if row.met else '**missed**'}"
    unit = f" {row.unit}" if row.unit else ""
    beside = "" if row.baseline_value is None else f"{number(row.baseline_value)}{unit}"
    cells = (row.metric, number(row.ratio), row.baseline or "", goal, f"{number(row.value)}{unit}", beside)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _goals(found: Mapping[str, Result]) -> str:
    judged = [(name, row) for name, one in found.items() for row in one.rows if row.met is not None]
    missed = [(name, row) for name, row in judged if not row.met]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} goals are met{'; missed are:' if missed else '.'}"]
    if missed:
        lines.append("")
    for name, row in missed:
        is_ratio = row.goal is not None and row.goal.startswith("ratio")
        have = f"ratio {number(row.ratio)} to {row.baseline}" if is_ratio else f"{number(row.value)} {row.unit}"
        lines.append(f"- {name}: {row.metric}: {have.strip()}, the goal is {row.goal}")
    return "\n".join(lines)


def _machines(found: Mapping[str, Result]) -> str:
    """Name each machine with its versions once, and what was measured there, if there are several."""
    places: dict[str, list[str]] = {}
    for name, one in found.items():
        hardware = "{processor}, {cores} cores, {memory}, {system}".format_map(one.machine)
        versions = ", ".join(f"{package} {version}" for package, version in one.versions.items())
        places.setdefault(f"{hardware}; {versions}", []).append(name)
    if len(places) == 1:
        return f"Measured on {next(iter(places))}."
    return "\n".join(f"- {', '.join(names)}: {place}" for place, names in places.items())


def main(arguments: list[str]) -> int:
    if arguments != ["--check"]:
        write()
        return 0
    page = PAGE.read_text("utf-8")
    if filled(page, blocks(results(COMMITTED))) == page:
        return 0
    print(f"{PAGE} is not what the results say: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
