"""Keeps a run's result in a directory, with its page where that can be made."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tierwise.runtime.figures import Run
from tierwise.runtime.output import REPORT, Report, write_result
from tierwise.runtime.report.making import Made, make_page


def keep(directory: Path, run: Run, report: Report, more: Callable[[], Sequence[str]] = tuple) -> tuple[Report, str]:
    """Write a run's result and its page.

    Parameters
    ----------
    directory, run, report
        As for `write_result`.
    more
        Makes further sections of the page.

    Returns
    -------
    tuple
        The report with the names of the files, and a remark for people if there is no page.

    Raises
    ------
    ConfigurationError, StoreError
        As `write_result`.
    """
    if report.interrupted:  # who interrupts does not want to wait
        made = Made(None, f"{REPORT} is not made when a run is cut short: `tierwise report {directory}` makes it")
    else:
        made = make_page(run, report, more)
    return write_result(directory, run, report, made.page), made.remark
