"""How exceptions are told: without the task groups around them, and with the place that they came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from tierwise.core.errors import StoreError, TierwiseError


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise an exception that is alone in its group as itself, with the cause and context that it had.

    A store that fails does so for everybody who writes just then; the first one tells it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1 and not all(isinstance(one, StoreError) for one in group.exceptions):
            raise
        error = group.exceptions[0]
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context


def told_to_coordinator(error: Exception) -> str:
    """Return why a device's job failed: our own errors are sentences, of others the class is half of what they say."""
    return str(error) if isinstance(error, TierwiseError) else f"{type(error).__name__}: {error}"


def told(error: BaseException) -> str:
    """Return an exception's class, message and innermost place: ``ValueError: no (clipped.py, line 21)``."""
    places = extract_tb(error.__traceback__)
    where = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {error}{where}"
