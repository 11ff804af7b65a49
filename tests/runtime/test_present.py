"""Figures for people."""

import pytest

from tierwise.runtime.cli import present


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2e-7, "0.2 µs"),
        (1.2e-5, "12 µs"),
        (0.0187, "18.7 ms"),
        (0.9999, "1 s"),
        (1.25, "1.25 s"),
        (59.96, "1 min"),
        (125, "2 min 5 s"),
        (3599.7, "1 h"),
        (12000, "3 h 20 min"),
        (86399, "1 d"),
        (100000, "1 d 4 h"),
    ],
)
def test_durations(seconds, text) -> None:
    assert present.duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("cpu_flops", 3.7e8, "370 MFLOP/s"),
        ("cpu_flops", 9.996e9, "10 GFLOP/s"),
        ("cpu_flops", 0, "0 FLOP/s"),
        ("cpu_flops", 2.5e15, "2500 TFLOP/s"),
        ("memory_bytes", 2**29, "512 MiB"),
        ("memory_bytes", 512e6, "488 MiB"),
        ("memory_bytes", 100, "100 B"),
        ("uplink_bytes_per_s", 312_500_000, "312 MB/s"),
        ("power_w", 2.1, "2.1 W"),
        ("energy_j", 0.5, "500 mJ"),
        ("energy_j", 6.48e-4, "648 µJ"),
        ("energy_j", 2e-7, "0.2 µJ"),
        ("cpu_frequency_hz", 2.3e9, "2.3 GHz"),
        ("cpu_count", 4.0, "4"),
        ("uptime_s", 90.0, "1 min 30 s"),
        ("battery_ratio", 0.874, "87 %"),
        ("mains_bool", 0.0, "no"),
        ("throttled_bool", 1.0, "yes"),
        ("temperature_k", 318.2, "45 °C"),
    ],
)
def test_quantities_in_the_unit_of_their_name(name, value, text) -> None:
    assert present.quantity(name, value) == text


def test_what_is_not_known() -> None:
    assert present.count(None) == present.share(None) == "–"
    assert (present.count(76810), present.share(0.94444)) == ("76,810", "0.944")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.90349, "0.903"),
        ("auc", 1.0, "1.000"),
        ("f1", -0.25, "-0.250"),
        ("log_loss", 0.5321, "0.532"),
        ("log_loss", 12.3456, "12.346"),
        ("log_loss", 1234.5, "1,234"),
        ("rmse", 53126.4, "53,126"),
        ("rmse", 999.96, "1,000"),
        ("rmse", 999_999_999.4, "999,999,999"),
        ("rmse", 999_999_999.6, "1.00e+09"),
        ("log_loss", 148229168065806776283003092992.0, "1.48e+29"),
        ("rmse", 12.3456, "12.35"),
        ("mae", 0.00412345, "0.004123"),
        ("mae", 5.3e-9, "5.300e-09"),
        ("mae", 0.0, "0.000"),
        ("rmse", float("inf"), "inf"),
        ("rmse", None, "–"),
    ],
)
def test_metrics_by_their_kind(name, value, text) -> None:
    assert present.metric(name, value) == text
