"""Makes the page if what it takes is installed; a run never fails because of it."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from tierwise.runtime.figures import Run
from tierwise.runtime.output import REPORT, Report
from tierwise.runtime.report.page import build_page

REMEDY: Final = "pip install 'tierwise[report]'"


@dataclass(frozen=True, slots=True)
class Made:
    """A page, or the remark why there is none."""

    page: bytes | None
    remark: str = ""


def make_page(run: Run, report: Report, more: Callable[[], Sequence[str]] = tuple) -> Made:
    """Make a run's page.

    Parameters
    ----------
    run, report
        As for `tierwise.runtime.report.page.build_page`.
    more
        Makes further sections of the page; it may draw, so it is called only where that can be done.
    """
    try:
        import altair as alt
        import vl_convert
    except ImportError as error:
        return Made(None, f"{REPORT} needs {error.name}, which {REMEDY} brings")
    try:
        # The version that draws is the one that the charts are checked against.
        library = _library(vl_convert, ".".join(alt.VEGALITE_VERSION.split(".")[:2]))
        return Made(build_page(run, report, library, more()).encode())
    except Exception as error:  # whatever it is, the run's results are there
        return Made(None, f"{REPORT} could not be made: {type(error).__name__}: {error}")


@functools.cache
def _library(converter: ModuleType, drawn_by: str) -> str:
    """Return the code that draws; to put it together takes several times as long as all else of a page."""
    bundle: str = converter.javascript_bundle("window.vegaEmbed = vegaEmbed;", drawn_by)
    return bundle
