"""Tables whose lines end where their text ends: spaces at the end are in the way of who copies or compares them."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table


class RaggedTable(Table):
    """A table without spaces at the ends of its lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:  # type: ignore[override]
        """Yield the table's text."""
        segments = (one for one in super().__rich_console__(console, options) if isinstance(one, Segment))
        for line in Segment.split_lines(segments):
            while line:
                last = line.pop()
                text = last.text.rstrip(" ")
                if text:
                    line.append(Segment(text, last.style, last.control))
                    break
            yield from line
            yield Segment.line()
