"""Files that are there as a whole or not at all, and private."""

import os
import threading
from pathlib import Path

import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.security import files


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    files.write_new(tmp_path / "new", b"1", remedy="")
    files.replace(tmp_path / "replaced", b"1")
    assert mode(tmp_path / "new") == mode(tmp_path / "replaced") == 0o600


def test_replacing_a_file_of_everybody_makes_it_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_new(path, b"old", remedy="")
    with pytest.raises(ConfigurationError, match=r"file: is there already, and is not replaced: do so"):
        files.write_new(path, b"new", remedy="do so")
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_many_who_write_one_file_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "file"
    done: list[int] = []
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        try:
            files.write_new(path, bytes([number]) * 100_000, remedy="")
        except ConfigurationError:
            return
        done.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = done
    assert path.read_bytes() == bytes([winner]) * 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "not here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    files.write_new(tmp_path / "file", b"1", remedy="")
    assert (tmp_path / "file").read_bytes() == b"1"
    with pytest.raises(ConfigurationError, match="is there already"):
        files.write_new(tmp_path / "file", b"2", remedy="")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    for write in (lambda path: files.write_new(path, b"", remedy=""), lambda path: files.replace(path, b"")):
        with pytest.raises(ConfigurationError, match=r"none/file: cannot be written: No such file"):
            write(tmp_path / "none" / "file")
    with pytest.raises(ConfigurationError, match="cannot be written"), files.locked(tmp_path / "none" / "lock"):
        pass


def test_a_failed_replacement_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.replace(tmp_path / "file", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        files.replace(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone: is not there: look elsewhere"):
        files.read(tmp_path / "gone", remedy="look elsewhere")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        files.read(tmp_path, remedy="")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's: run it on Linux or macOS")
@pytest.mark.parametrize(("bits", "fine"), [
    (0o600, True), (0o400, True), (0o640, True), (0o440, True),
    (0o644, False), (0o604, False), (0o660, False), (0o777, False), (0o601, False),
])  # fmt: skip
def test_secrets_that_others_can_read_are_refused(tmp_path: Path, bits: int, fine: bool) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(bits)
    if fine:
        assert files.read_secret(path, remedy="") == b"x"
    else:
        with pytest.raises(ConfigurationError, match=rf"mode {bits:04o} lets others have it: run `chmod 600 {path}`"):
            files.read_secret(path, remedy="")


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with files.locked(tmp_path / "lock"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
