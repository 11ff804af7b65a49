"""Boot counters never go back, and a window accepts each order once."""

import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.security.ordering import ORDER_LIMIT, WINDOW, Judgement, Order, ReplayGuard, next_boot

FRESH, REPLAYED, STALE = Judgement.FRESH, Judgement.REPLAYED, Judgement.STALE


def judge(
    guard: ReplayGuard, sequence: int, boot: int = 1, key: bytes = b"k", to: str = "x", kind: str = "ctl"
) -> Judgement:
    return guard.judge(key, to, kind, Order(boot, sequence))


# -- boot counters


def test_each_start_has_a_higher_number(tmp_path: Path) -> None:
    path = tmp_path / "boot"
    boots = [next_boot(path, lambda: 1000.9) for _ in range(3)]
    assert boots == [1000, 1001, 1002]
    assert next_boot(path, lambda: 5.0) == 1003, "a clock that goes back does not matter"
    assert next_boot(path, lambda: 2000.0) == 2000
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_wiped_disk_still_counts_up_if_the_clock_is_right(tmp_path: Path) -> None:
    path = tmp_path / "boot"
    before = next_boot(path)
    path.unlink()
    assert next_boot(path, lambda: before + 1.0) > before


def test_without_a_clock_it_counts_from_one(tmp_path: Path) -> None:
    assert [next_boot(tmp_path / "boot", lambda: -3.0) for _ in range(2)] == [1, 2]


def test_starts_at_the_same_moment_get_different_numbers(tmp_path: Path) -> None:
    boots: list[int] = []
    threads = [
        threading.Thread(target=lambda: boots.extend(next_boot(tmp_path / "boot") for _ in range(10))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(boots)) == 80


@pytest.mark.parametrize("content", [b"", b"7", b'{"format":"tierwise.boot.1","boot":0}', b'{"format":"x","boot":7}'])
def test_a_damaged_counter_names_itself_and_a_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "boot"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"boot: is no boot counter .*; delete it if this machine's clock"):
        next_boot(path)
    assert path.read_bytes() == content


# -- windows


def test_in_order_each_once() -> None:
    guard = ReplayGuard()
    assert [judge(guard, sequence) for sequence in (1, 2, 3)] == [FRESH] * 3
    assert [judge(guard, sequence) for sequence in (1, 2, 3)] == [REPLAYED] * 3


def test_out_of_order_within_the_window() -> None:
    guard = ReplayGuard()
    assert judge(guard, WINDOW) is FRESH
    assert judge(guard, 1) is FRESH, "the last number of the window"
    assert judge(guard, 1) is REPLAYED
    assert judge(guard, WINDOW + 1) is FRESH
    assert judge(guard, 1) is STALE, "now beyond it"
    assert judge(guard, 2) is FRESH


def test_a_leap_forgets_no_more_than_it_must() -> None:
    guard = ReplayGuard()
    for sequence in range(1, 11):
        judge(guard, sequence)
    assert judge(guard, 10 + WINDOW - 1) is FRESH
    assert judge(guard, 10) is REPLAYED
    assert judge(guard, 9) is STALE
    assert judge(guard, ORDER_LIMIT) is FRESH
    assert judge(guard, 10 + WINDOW - 1) is STALE
    assert judge(guard, ORDER_LIMIT - 1) is FRESH


def test_a_leap_over_the_whole_window_leaves_nothing_marked_as_seen() -> None:
    guard = ReplayGuard()
    assert judge(guard, 1) is FRESH
    assert judge(guard, 1 + WINDOW) is FRESH
    assert [judge(guard, sequence) for sequence in range(2, 1 + WINDOW)] == [FRESH] * (WINDOW - 1)


def test_a_new_boot_ends_all_streams_of_the_old_one() -> None:
    guard = ReplayGuard()
    judge(guard, 5, boot=3, kind="ctl")
    assert judge(guard, 1, boot=4, kind="ctl") is FRESH
    assert judge(guard, 6, boot=3, kind="ctl") is STALE
    assert judge(guard, 1, boot=3, kind="never seen") is STALE


def test_streams_and_senders_do_not_disturb_each_other() -> None:
    guard = ReplayGuard()
    assert judge(guard, 100) is FRESH
    assert judge(guard, 1, key=b"other") is FRESH
    assert judge(guard, 1, to="y") is FRESH
    assert judge(guard, 1, kind="presence") is FRESH


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=300))
def test_against_a_receiver_with_unlimited_memory(sequences: list[int]) -> None:
    guard = ReplayGuard()
    seen: Counter[int] = Counter()
    for sequence in sequences:
        highest = max(seen, default=0)
        expected = STALE if highest - sequence >= WINDOW else REPLAYED if seen[sequence] > 0 else FRESH
        assert judge(guard, sequence) is expected
        seen[sequence] += 1


# -- kept over a restart


def test_what_was_accepted_before_a_restart_is_not_accepted_after_it(tmp_path: Path) -> None:
    guard = ReplayGuard()
    judge(guard, 7, boot=3)
    judge(guard, 2, boot=3, kind="presence")
    judge(guard, 9, boot=1, key=b"\xff" * 32)
    guard.save(tmp_path / "orders")
    again = ReplayGuard.load(tmp_path / "orders")
    assert judge(again, 7, boot=3) is REPLAYED
    assert judge(again, 6, boot=3) is REPLAYED, "whether it was seen is not kept"
    assert judge(again, 99, boot=2) is STALE
    assert judge(again, 8, boot=3) is FRESH
    assert judge(again, 3, boot=3, kind="presence") is FRESH
    assert judge(again, 9, boot=1, key=b"\xff" * 32) is REPLAYED


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert judge(ReplayGuard.load(tmp_path / "orders"), 1) is FRESH


def test_a_damaged_memory_names_itself_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "orders").write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match=r"orders: is no memory of orders: .*; delete it"):
        ReplayGuard.load(tmp_path / "orders")
