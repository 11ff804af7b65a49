"""Small files that are there as a whole or not at all, and that nobody else reads."""

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tierwise.core.errors import ConfigurationError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

T = TypeVar("T", bound=msgspec.Struct)

PRIVATE: Final = 0o600
"""The owner reads and writes, nobody else."""
_TOO_OPEN: Final = 0o027
"""Others may do nothing and the group may not write; it may read, which is how orchestrators hand out secrets."""


def write_new(path: Path, data: bytes, *, remedy: str) -> None:
    """Write a private file that is not there yet.

    Of several that write the same file at once, one succeeds, and the file is whole for whoever sees it.

    Parameters
    ----------
    path
        Which file.
    data
        Its content.
    remedy
        What to do if there is one already.

    Raises
    ------
    ConfigurationError
        If the file is there already, or cannot be written.
    """
    try:
        _beside(path, data, lambda beside: _link(beside, path, data))
    except FileExistsError as error:
        raise ConfigurationError(f"is there already, and is not replaced: {remedy}", source=str(path)) from error
    except OSError as error:
        raise _unwritable(path, error) from error


def replace(path: Path, data: bytes) -> None:
    """Write a private file in place of the one that may be there; otherwise like `write_new`."""
    try:
        _beside(path, data, lambda beside: beside.replace(path))
    except OSError as error:
        raise _unwritable(path, error) from error


def read(path: Path, *, remedy: str) -> bytes:
    """Read a file.

    Raises
    ------
    ConfigurationError
        If it is not there, which ``remedy`` says what to do about, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"is not there: {remedy}", source=str(path)) from error
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=str(path)) from error


def read_secret(path: Path, *, remedy: str) -> bytes:
    """Read a file that holds a private key.

    Raises
    ------
    ConfigurationError
        As `read`, and if others than its owner and group can read it (POSIX only).
    """
    data = read(path, remedy=remedy)
    if os.name == "posix":
        mode = path.stat().st_mode & 0o777
        if mode & _TOO_OPEN:
            raise ConfigurationError(
                f"holds a private key, and its mode {mode:04o} lets others have it: run `chmod 600 {path}`, and enrol "
                "the device anew if somebody may have read it",
                source=str(path),
            )
    return data


def encode(value: msgspec.Struct) -> bytes:
    """Return a value as JSON that people can read; bytes become base64."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def decode(path: Path, data: bytes, kind: type[T], *, what: str, remedy: str) -> T:
    """Read a value out of a file's content.

    Parameters
    ----------
    path
        The file, for the error.
    data
        Its content.
    kind
        A Struct whose attribute ``format`` admits one text only, so that one kind of file is not taken for another.
    what
        What the file should hold.
    remedy
        What to do if it does not.

    Raises
    ------
    ConfigurationError
        If it holds something else.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"is no {what}: {error}; {remedy}", source=str(path)) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created, as long as the context lasts; wait for it if need be.

    The system lets go of it when the process ends, however that happens, so a lock never outlives its owner.

    Raises
    ------
    ConfigurationError
        If the file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which unlocks


def _beside(path: Path, data: bytes, move: Callable[[Path], object]) -> None:
    """Write a file beside ``path`` and move it there; whatever happens, none is left beside it."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        _create(beside, data)
        move(beside)
        _sync_directory(path.parent)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _create(path: Path, data: bytes) -> None:
    # The mode is given at creation: between a later chmod and that, others could open the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(beside: Path, path: Path, data: bytes) -> None:
    """Give a file its name unless that is taken, which moving it cannot promise."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        _create(path, data)  # a file system without hard links


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be written: {error.strerror}; name another place, or make room or the right to write there",
        source=str(path),
    )
