"""Histories of closed rounds."""

from collections.abc import Iterable

import msgspec

from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.metrics import Metric
from tierwise.core.stopping import RoundRecord

RECORD = RoundRecord(
    round=RoundNumber(1),
    version=ModelVersion(1),
    metrics={},
    opened_at=0.0,
    closed_at=1.0,
    devices=4,
    samples=40,
    download_bytes=500,
    upload_bytes=400,
    participants=5,
    energy_j=10.0,
)


def with_metric(name: str, values: Iterable[float | None]) -> list[RoundRecord]:
    """Return rounds with a metric; None for one whose devices have no hold-out."""
    return [
        msgspec.structs.replace(
            RECORD,
            round=RoundNumber(number),
            version=ModelVersion(number),
            metrics={name: Metric(sum=(value or 0.0) * 10, count=0 if value is None else 10)},
        )
        for number, value in enumerate(values, start=1)
    ]
