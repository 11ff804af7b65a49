"""How many threads the libraries of linear algebra use in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Let linear algebra be computed in one thread, by all that is loaded: with more, sums come in another order."""
    with threadpool_limits(1, user_api="blas"):
        yield
