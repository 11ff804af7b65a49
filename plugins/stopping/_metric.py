"""What the rules share that watch a metric."""

from collections.abc import Iterable

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.metrics import read_metric, read_metrics
from tierwise.core.stopping import RoundRecord


def require_metric(metric: str, reported: Iterable[str], rule: str) -> None:
    """Raise a `ConfigurationError` that names the nearest unless a metric is among those that devices report."""
    known = sorted(reported)
    if metric not in known:
        raise ConfigurationError(
            f"stop rule {rule!r} waits for metric {metric!r}, which the devices do not report{nearest(metric, known)}; "
            f"they report {', '.join(known) or 'none'}",
            key="metric",
        )


def latest(record: RoundRecord, metric: str, rule: str) -> float | None:
    """Return a round's metric; None over no samples.

    Raises
    ------
    ConfigurationError
        If the devices do not report it.
    """
    figure = read_metric(record.metrics, metric)
    if figure is None:
        require_metric(metric, read_metrics(record.metrics), rule)
        return None
    return figure.value
