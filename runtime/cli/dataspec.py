"""The data of one device, as the command line names it: ``digits:part=3,parts=9,seed=0,alpha=0.3``.

Instead of a data source's name there may be a TOML file, whose table ``[data]`` is taken, and keys that are different
here: ``meters.toml:path=/var/lib/meter.csv``. So all devices and the coordinator can have the same file.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from tierwise.core.describing import Describing
from tierwise.core.errors import ConfigurationError, UnknownPluginError, nearest
from tierwise.core.learning import DataSource, KnowsDevices, LocalData
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.plugins.options import read_options
from tierwise.runtime.config import RunConfig
from tierwise.runtime.tables import read_toml

FORM: Final = "SOURCE[:KEY=VALUE,...]"
"""Where SOURCE is a data source's name, or a TOML file."""
_FILE: Final = ".toml"
_NEXT: Final = re.compile(r",(?=\s*[A-Za-z_][A-Za-z0-9_]*\s*=)")
"""A comma before the next key; others are within a value, and so is this one within brackets."""
_SHOWN: Final = 3
"""Of the names of devices."""
_LISTS: Final = "a list is written as ['new','old'], a table as {oil=['new','old']}, the whole in double quotes"


class Share(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which share of a data source is this device's: number ``part`` of ``parts``, by default all.

    Attributes
    ----------
    part, parts
        For trials, in which several devices share one source.
    seed
        Of the division into parts, and of that into training and hold-out.
    """

    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    parts: Annotated[int, msgspec.Meta(ge=1)] = 1
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class DataSpec:
    """A data source, made, and this device's share of it.

    Attributes
    ----------
    text
        As it was given.
    name, options
        Of the source.
    source, share
        What they make.
    of_all
        Whether where the data are is written in a file alone, which all devices may have.
    """

    text: str
    name: str
    options: OptionValues
    source: DataSource
    share: Share
    of_all: bool = False

    def load_own(self) -> LocalData:
        """Read the data of one device.

        Raises
        ------
        ConfigurationError
            As `load`; and if they would be those of several devices, since nothing says whose are meant.
        """
        devices = self.source.devices() if self.of_all and isinstance(self.source, KnowsDevices) else ()
        if len(devices) > 1 and self.share.parts == 1:
            named = ", ".join(devices[:_SHOWN]) + (" …" if devices[_SHOWN:] else "")
            raise ConfigurationError(
                f"its [data] has the data of {len(devices)} devices ({named}), and this device would train on all of "
                f"them: add which file is its own, --data {self.text}{',' if ':' in self.text else ':'}path=FILE",
                source=f"--data {self.text}",
            )
        return self.load()

    def load(self) -> LocalData:
        """Read the data of a device.

        Raises
        ------
        ConfigurationError
            If the source cannot give this share, or the task is only read from it: another device's data would tell
            another one.
        """
        if self.share.parts == 1:
            self._check_pins()
        return self.read()

    def require(self, task: Task, whose: str) -> None:
        """Check that these are data for a model; then `read` gives them, whether or not the task is written down.

        Parameters
        ----------
        task
            Of the model.
        whose
            Tells people which model it is.

        Raises
        ------
        ConfigurationError
            If their task is another one; names each difference.
        """
        if differences := list(_differences(self.source.task, task)):
            raise ConfigurationError(
                f"these data are not what {whose} is for: {'; '.join(differences)}. Give it data with the same "
                f"features and classes in the same order{self._way_to_pin(task)}",
                source=f"--data {self.text}",
            )

    def read(self) -> LocalData:
        """Read the data, of whatever task they are.

        Raises
        ------
        ConfigurationError
            If the source cannot give this share.
        """
        try:
            return self.source.load(self.share.part, self.share.parts, self.share.seed)
        except ConfigurationError as error:
            raise ConfigurationError(str(error), source=f"--data {self.text}") from error

    def _way_to_pin(self, task: Task) -> str:
        """Say how to write down what would else be read from data that need not have all of it."""
        pins = self.source.pins() if isinstance(self.source, Describing) else {}
        if "classes" not in pins or "classes" in self.options:
            return ""
        return f"; where they lack a class, write down what there is: {toml_line('classes', task.classes)}"

    def _check_pins(self) -> None:
        if not isinstance(self.source, Describing):
            return
        pins = self.source.pins()
        lacking = [name for name in pins if name not in self.options]
        if lacking:
            lines = "; ".join(toml_line(name, pins[name]) for name in lacking)
            raise ConfigurationError(
                f"{' and '.join(lacking)} would be read from these data, and those of other devices may tell something "
                "else: write down what all of them have, for instance in the [data] of a file (--data FILE.toml). "
                f"These data have {lines}",
                source=f"--data {self.text}",
            )


def read_data_spec(text: str, plugins: Plugins) -> DataSpec:
    """Read a specification and make its source.

    Raises
    ------
    ConfigurationError
        If a part of it cannot be; names the key, the value, what is allowed and the nearest spelling.
    """
    try:
        name, _, rest = text.partition(":")
        values = _values(rest)
        written: OptionValues = {}
        if name.endswith(_FILE):
            name, written = _read_table(Path(name), plugins)
        _check_keys(name, values, plugins)
        shared = {key: value for key, value in values.items() if key in Share.__struct_fields__}
        options = written | {key: value for key, value in values.items() if key not in shared}
        share = _checked(read_options(shared, Share, subject="the share of the data"))
        of_all = "path" in written and "path" not in values
        return DataSpec(text, name, options, plugins.data_source(name, options), share, of_all)
    except (UnknownPluginError, ConfigurationError) as error:
        raise ConfigurationError(str(error), source=f"--data {text}") from error


def _differences(ours: Task, theirs: Task) -> Iterator[str]:
    """Tell what of the data of two tasks is not alike."""
    for name in ("name", "loss", "target", "features", "feature_names", "classes", "scale"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        if mine != other:
            what = "task" if name == "name" else name
            yield f"{what} {toml_value(mine)}, where the model has {toml_value(other)}"


def toml_line(key: str, value: object) -> str:
    """Write a key and its value as in a TOML file."""
    return f"{key} = {toml_value(value)}"


def toml_value(value: object) -> str:
    """Write a text, a number, a truth value or a list of those as in a TOML file."""
    return json.dumps(value, ensure_ascii=False)


def _read_table(file: Path, plugins: Plugins) -> tuple[str, OptionValues]:
    """Return the data source that a file names, and its options."""
    table = read_toml(file).get("data", {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"is {table!r}, it must be a table: write [data]", key="data", source=str(file))
    name = table.pop("source", RunConfig().data.name)
    if not isinstance(name, str):
        raise ConfigurationError(f"is {name!r}, allowed is a text", key="data.source", source=str(file))
    return name, plugins.placed(Kind.DATA_SOURCE, name, table, file.parent)


def _check_keys(name: str, values: dict[str, Any], plugins: Plugins) -> None:
    known = (*Share.__struct_fields__, *plugins.options_type(Kind.DATA_SOURCE, name).__struct_fields__)
    for key, value in values.items():
        if key not in known:
            raise ConfigurationError(
                f"there is no key {key!r}{nearest(key, known)}, which is set to {value!r}; the keys: {', '.join(known)}"
            )


def _checked(share: Share) -> Share:
    if share.part >= share.parts:
        raise ConfigurationError(
            f"is {share.part}, with parts={share.parts} it is from 0 to {share.parts - 1}", key="part"
        )
    return share


def _values(rest: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in _pairs(rest) if rest.strip() else ():
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key or not value:
            raise ConfigurationError(f"{pair!r} is not KEY=VALUE: it has the form {FORM}")
        if key in values:
            raise ConfigurationError(f"{key} is set twice")
        values[key] = _value(value)
    return values


def _pairs(rest: str) -> list[str]:
    """Divide keys and values at commas that are not within the brackets of a list or a table."""
    pairs = [""]
    for piece in _NEXT.split(rest):
        opened = sum(map(pairs[-1].count, "[{")) > sum(map(pairs[-1].count, "]}"))
        pairs = [*pairs[:-1], f"{pairs[-1]},{piece}"] if opened else [*pairs, piece]
    return pairs[1:]


def _value(text: str) -> Any:
    """Return a number, a truth value, a list or a table as in TOML; anything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text[0] in "[{":
            raise ConfigurationError(f"{text} is no list or table as in TOML ({error}): {_LISTS}") from error
        return text
