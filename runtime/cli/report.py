"""``tierwise report``: the page of a run that is there already."""

from pathlib import Path

import click

from tierwise.core.errors import StoreError, TierwiseError
from tierwise.runtime.output import REPORT, load_result
from tierwise.runtime.report.making import make_page


@click.command(epilog="\b\nExample:\n  tierwise report runs/3")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def report(directory: Path) -> None:
    """Make report.html of a result.

    DIR is what --out named when the run was made; a run that was interrupted, or made where altair is not installed,
    has no page yet. An earlier page there is replaced. Of a store, `tierwise replay STORE --out DIR` makes one.

    The page is one file, which needs no network; `pip install 'tierwise[report]'` brings what makes it.
    """
    run, told = load_result(directory)
    from tierwise.runtime.demo.page import sections_of  # the demonstration knows its figures

    made = make_page(run, told, lambda: sections_of(told.figures))
    if made.page is None:
        raise TierwiseError(made.remark)
    path = directory / REPORT
    try:
        path.write_bytes(made.page)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"written: {path}")
