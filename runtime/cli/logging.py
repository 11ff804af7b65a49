"""Logs of the programs that run for long: a readable line for each thing that happens, or a JSON object.

A JSON object has ``time`` (UTC), ``level``, and one key that tells what it is, with the name of the fact as its value:

- ``event``: what the coordinator decided, with the fields of that class of `tierwise.core.events`; ``notice`` likewise
- ``sent``, ``received``: a message of a device, with the fields of its class of `tierwise.core.messages`
- ``log``: a remark of the program, from the logger of that name, with ``message``
- ``result``: what a program ends with, with the fields that its page of the reference tells
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, Any, Final, Protocol

import msgspec

from tierwise.core import events as e
from tierwise.core import messages as m
from tierwise.core.bus import SubscriberFailed
from tierwise.runtime.cli.sentences import hear, tell

LOGGER: Final = "tierwise"
"""The parent of all loggers of this package."""


class Level(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Log(Protocol):
    """Where a program tells what happens; safe to use from any thread."""

    def happened(self, happening: e.Event | e.Notice) -> None:
        """Tell an event or notice of the coordinator."""
        ...

    def said(self, message: m.Message, *, sent: bool) -> None:
        """Tell a message that a device sent or received."""
        ...

    def remark(self, text: str, level: Level = Level.INFO, source: str = LOGGER) -> None:
        """Tell something else."""
        ...


class TextLog:
    """One readable line for each thing.

    Parameters
    ----------
    write
        Takes a line and its level.
    """

    def __init__(self, write: Callable[[str, Level], None]) -> None:
        self._write = write

    def happened(self, happening: e.Event | e.Notice) -> None:
        """Tell an event or notice of the coordinator."""
        self.remark(tell(happening), _level(happening))

    def said(self, message: m.Message, *, sent: bool) -> None:  # noqa: ARG002  (the sentence tells it)
        """Tell a message that a device sent or received."""
        if not isinstance(message, m.Refused):  # the program ends with that, and says it then
            self.remark(hear(message), _message_level(message))

    def remark(self, text: str, level: Level = Level.INFO, source: str = LOGGER) -> None:  # noqa: ARG002
        """Tell something else."""
        mark = "" if level is Level.INFO else f"{level}: "
        self._write(f"{datetime.now().astimezone():%H:%M:%S}  {mark}{text}", level)


class JsonLog:
    """One JSON object a line, as the module's description says.

    Parameters
    ----------
    stream
        Each line is written at once and as a whole.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout

    def happened(self, happening: e.Event | e.Notice) -> None:
        """Tell an event or notice of the coordinator."""
        key = "event" if isinstance(happening, e.Event) else "notice"
        self._line(_level(happening), key, _tagged(happening, key))

    def said(self, message: m.Message, *, sent: bool) -> None:
        """Tell a message that a device sent or received."""
        key = "sent" if sent else "received"
        self._line(_message_level(message), key, _tagged(message, key))

    def remark(self, text: str, level: Level = Level.INFO, source: str = LOGGER) -> None:
        """Tell something else."""
        self._line(level, "log", {"log": source, "message": text})

    def result(self, name: str, fields: Mapping[str, object]) -> None:
        """Tell what the program ends with."""
        self._line(Level.INFO, "result", {"result": name, **fields})

    def _line(self, level: Level, key: str, fields: Mapping[str, object]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": time, "level": level, key: fields[key], **fields}
        text = msgspec.json.encode(line).decode() + "\n"
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def listening(log: Log) -> Iterator[None]:
    """Have what the package says to its loggers told by a log, as long as the context lasts."""
    logger, handler = logging.getLogger(LOGGER), _Handler(log)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = Level.INFO
        if record.levelno >= logging.WARNING:
            level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._log.remark(text, level, record.name)


_ALARMING: Final = (
    e.DeviceLost,
    e.DeviceRemoved,
    e.DeviceFaulted,
    e.DeviceQuarantined,
    e.GroupShort,
    e.RoundAbandoned,
    e.TaskDeclined,
    e.InputRejected,
)


def _level(happening: e.Event | e.Notice) -> Level:
    match happening:
        case e.FederationFailed() | e.GroupFinished(failed=True) | SubscriberFailed():
            return Level.ERROR
        case _:
            return Level.WARNING if isinstance(happening, _ALARMING) else Level.INFO


def _message_level(message: m.Message) -> Level:
    match message:
        case m.Refused():
            return Level.ERROR
        case m.TaskRefused() | m.Receipt(refusal=e.Refusal()):
            return Level.WARNING
        case _:
            return Level.INFO


def _tagged(value: msgspec.Struct, key: str) -> dict[str, Any]:
    """Return a tagged struct's fields, and under ``key`` its tag."""
    config = value.__struct_config__
    fields: dict[str, Any] = msgspec.to_builtins(value)
    tag = fields.pop(config.tag_field or "", None)
    return {key: tag, **fields}
