"""A broker for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.broker import Broker, running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path) as started:
        yield started
