"""Makes results for tests."""

from report import Row
from results import Result


def a_result(*rows: Row, benchmark: str = "made", seconds: float = 12.0) -> Result:
    return Result(
        benchmark=benchmark,
        title="Made up",
        date="2026-01-02",
        commit="0123456789ab",
        machine={"processor": "A processor", "cores": "2", "memory": "8 GiB", "system": "Linux 6"},
        versions={"python": "3.11.2", "numpy": "2.4.0"},
        seconds=seconds,
        load_before=0.5,
        load_after=1.5,
        rows=rows,
    )


def speed(ratio: float, metric: str = "sum", baseline: str = "numpy") -> Row:
    """Make a ratio of which more is better."""
    return Row(metric, 10 * ratio, "GB/s", baseline, 10.0, ratio)


def time(ratio: float, metric: str = "start", baseline: str = "python") -> Row:
    """Make a ratio of which less is better."""
    return Row(metric, 0.2 * ratio, "s", baseline, 0.2, ratio)
