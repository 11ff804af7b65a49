"""Fleets: drawn evenly and by seed, read from tables, and the text of every fault that a table can have."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.hardware import Origin
from tierwise.core.ids import is_device_id
from tierwise.runtime.fleet.catalogue import device_models
from tierwise.runtime.fleet.draw import draw_fleet, read_fleet


@given(st.integers(3, 200), st.integers(0, 2**63 - 1))
def test_every_model_is_drawn_as_often_as_any_other_give_or_take_one(count, seed) -> None:
    fleet = draw_fleet(count, seed)
    assert len(fleet) == count
    assert list(fleet) == sorted(fleet)
    assert all(map(is_device_id, fleet))
    drawn = Counter(device.model.model for device in fleet.values())
    times = [drawn[model.model] for model in device_models()]
    assert max(times) - min(times) <= 1


def test_the_same_seed_draws_the_same_fleet() -> None:
    assert draw_fleet(60, 3) == draw_fleet(60, 3)
    assert draw_fleet(60, 3) != draw_fleet(60, 4)


def test_names_are_in_order_whatever_their_number() -> None:
    assert list(draw_fleet(3, 0)) == ["d000", "d001", "d002"]
    assert list(draw_fleet(1001, 0))[-1] == "d1000"


def test_a_device_declares_its_models_figures() -> None:
    device = draw_fleet(3, 0)["d001"]
    model = device.model
    values = {name: quantity.value for name, quantity in device.profile.quantities.items()}
    assert values == {
        "cpu_count": model.cpu_count,
        "cpu_flops": model.cpu_flops,
        "downlink_bytes_per_s": model.downlink_bytes_per_s,
        "memory_bytes": model.memory_bytes,
        "power_w": model.power_w,
        "uplink_bytes_per_s": model.uplink_bytes_per_s,
    }
    assert {quantity.origin for quantity in device.profile.quantities.values()} == {Origin.DECLARED}


def test_a_table_is_read(tmp_path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text("\ufeffcpu_flops, device ,power_w\n1e9,a,\n\n 2e9 ,b,3\n3e9,c,0\n", encoding="utf-8")
    fleet = read_fleet(path)
    assert {name: {q: one.value for q, one in profile.quantities.items()} for name, profile in fleet.items()} == {
        "a": {"cpu_flops": 1e9},
        "b": {"cpu_flops": 2e9, "power_w": 3},
        "c": {"cpu_flops": 3e9, "power_w": 0},
    }


HEADER = "has no column 'device'; its first line should name the columns, and is"
UNITS = "_flops, _count, _bytes, _bytes_per_s, _hz, _s, _w, _j, _v, _a, _k, _m, _kg, _ratio, _bool"
RULE = f"lower-case letters, digits and _, up to 64, and at the end the unit, one of {UNITS}"
NAMES = "1 to 64 of A-Z a-z 0-9 . _ - are allowed, the first a letter or digit"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{HEADER} ''"),
        ("name,cpu_flops\na,1\n", f"{HEADER} 'name, cpu_flops'"),
        ("device,power_w,power_w\n", "power_w: there are two columns of this name"),
        ("device,cpu_flop\n", f"cpu_flop: 'cpu_flop' cannot name a quantity (did you mean 'cpu_flops'?): {RULE}"),
        ("device,ram_gb\n", f"ram_gb: 'ram_gb' cannot name a quantity: {RULE}"),
        (
            "device,Disk_bytes\n",
            f"Disk_bytes: 'Disk_bytes' cannot name a quantity (did you mean 'storage_bytes'?): {RULE}",
        ),
        ("device,power_w\na,1\nb\n", "line 3 has 1 cells, the header has 2 columns"),
        ('device,power_w\na,1\n"b,2\n', "line 3 is not CSV: unexpected end of data"),
        ("device\na\nthe fridge\n", f"device: line 3: 'the fridge' cannot name a device: {NAMES}"),
        ("device\na\nb\na\n", "device: line 4: device 'a' has a row already; each device has one"),
        ("device,power_w\na,much\n", "power_w: line 2, device 'a': 'much' is not a number of at least 0"),
        ("device,power_w\na,-1\n", "power_w: line 2, device 'a': '-1' is not a number of at least 0"),
        ("device,power_w\na,inf\n", "power_w: line 2, device 'a': 'inf' is not a number of at least 0"),
        ("device,cpu_flops\na,0\n", "cpu_flops: line 2, device 'a': '0' is not a number greater than 0"),
        ("device,mains_bool\na,yes\n", "mains_bool: line 2, device 'a': 'yes' is not a number of at least 0"),
        ("device,mains_bool\na,2\n", "mains_bool: line 2, device 'a': a bool is 0 or 1, got 2.0"),
        ("device,idle_ratio\na,1.5\n", "idle_ratio: line 2, device 'a': a ratio is from 0 to 1, got 1.5"),
        ("device,mains_bol\n", f"mains_bol: 'mains_bol' cannot name a quantity (did you mean 'mains_bool'?): {RULE}"),
        ("device\na\nb\n", "has 2 devices, a federation needs at least 3"),
    ],
)
def test_a_fault_names_file_column_and_line(tmp_path, text, message) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_fleet(path)
    assert str(caught.value) == f"{path}: {message}"
    assert caught.value.source == str(path)


def test_a_file_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_fleet(tmp_path / "none.csv")
    assert str(caught.value) == f"{tmp_path}/none.csv: cannot be read: No such file or directory"
    path = tmp_path / "fleet.csv"
    path.write_bytes(b"device\n\xff\n")
    with pytest.raises(ConfigurationError) as caught:
        read_fleet(path)
    assert str(caught.value) == f"{path}: is not a text in UTF-8 (byte 7)"
