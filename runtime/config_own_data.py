"""The tables that say how groups learn from each other, and which data the coordinator itself holds for that.

::

    [exchange]
    policy = "distill"
    epochs = 3

    [exchange.public]           # samples without labels; left out, it is what [data] sets apart
    source = "npz"
    path = "public.npz"

    [evaluation]                # labelled samples on which the coordinator measures each model
    source = "npz"
    path = "test.npz"

What these say of the task, such as columns and classes, is as in ``[data]`` unless it is written down here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from msgspec.structs import fields
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, PluginError
from tierwise.core.exchange import NO_EXCHANGE
from tierwise.core.learning import Collecting, Dataset, DataSource, all_samples_of, features_of, reserved_of
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.plugins.paths import code_in
from tierwise.runtime.own_data import EVALUATION, PUBLIC, OwnData
from tierwise.runtime.policies import Choice
from tierwise.runtime.tables import Tables, located

T = TypeVar("T")

RESERVED: Final = "reserved"
"""The source that stands for the samples which ``[data]`` sets apart."""


def read_exchange(tables: Tables, plugins: Plugins) -> tuple[Choice, Choice | None]:
    """Read ``[exchange]``: the policy, and the data source of the public set, if one is named."""
    values = tables.values("exchange")
    named = "policy" in values
    public = values.pop("public", None)
    name = tables.name("exchange", "policy", values, NO_EXCHANGE)
    if name is None:
        return Choice(name=NO_EXCHANGE), None
    source = None
    if isinstance(public, Mapping):
        source = _read_source(tables, dict(public), PUBLIC, plugins)
    elif public is not None:
        tables.fault(f"public is {public!r}, it must be a table: write [{PUBLIC}]", PUBLIC)
    if name == NO_EXCHANGE:
        for key, value in tables.values("exchange").items() if not named else ():
            tables.fault(f"{key} is {value!r}, but no policy is named: set policy, or leave it out", f"exchange.{key}")
        return Choice(name=NO_EXCHANGE), None  # a policy that is switched off may leave its options where they are
    tables.attempt("exchange", "policy", lambda: plugins.exchange(name, values, where="exchange"))
    return Choice(name=name, options=values), source


def read_evaluation(tables: Tables, plugins: Plugins) -> Choice | None:
    """Read ``[evaluation]``: the data source of the coordinator's test set, if there is one."""
    values = tables.values(EVALUATION)
    return _read_source(tables, values, EVALUATION, plugins) if values else None


def _read_source(tables: Tables, values: dict[str, object], table: str, plugins: Plugins) -> Choice | None:
    name = tables.name(table, "source", values, "")
    if name is None:
        return None
    if not name:
        tables.fault(f"[{table}] names no data source: set source", f"{table}.source")
        return None
    if name == RESERVED:
        for key, value in values.items():
            tables.fault(f"{key} is {value!r}: what is reserved, [data] says", f"{table}.{key}")
        return Choice(name=RESERVED)
    tables.attempt(table, "source", lambda: plugins.data_source(name, values, where=table))
    return Choice(name=name, options=values)


def settled(tables: Tables, plugins: Plugins, folder: Path, may_name_code: bool, table: str, chosen: Choice) -> Choice:
    """Return the choice of a data source with its paths starting at the file's folder.

    Parameters
    ----------
    tables
        Where a fault is noted.
    plugins
        Where the source is looked up.
    folder
        Of the configuration's file.
    may_name_code
        Whether an option may name code that the source runs.
    table, chosen
        The table, and what it chooses; if that is a fault already, it is returned as it is.
    """
    if chosen.name == RESERVED:
        return chosen
    try:
        code = code_in(chosen.options, plugins.options_type(Kind.DATA_SOURCE, chosen.name))
        if code and not may_name_code:
            tables.fault("only a configuration that is a file can name code that is run", f"{table}.{code[0]}")
        options = plugins.placed(Kind.DATA_SOURCE, chosen.name, chosen.options, folder)
    except PluginError:
        return chosen
    return Choice(name=chosen.name, options=options)


def load_own_data(
    data: DataSource,
    chosen: Choice,
    exchange: Choice,
    public: Choice | None,
    test: Choice | None,
    plugins: Plugins,
    seed: int,
) -> OwnData:
    """Read what the coordinator holds.

    Parameters
    ----------
    data, chosen
        The source of the devices' data, and the choice that it was made by.
    exchange, public, test
        The choices of `read_exchange` and `read_evaluation`.
    plugins
        Where data sources are looked up.
    seed
        The federation's.

    Raises
    ------
    ConfigurationError
        If samples cannot be had, or are of other data than the devices'.
    """
    needs_public = exchange.name != NO_EXCHANGE and plugins.exchange(exchange.name, exchange.options).needs_public
    if needs_public and public is None:
        public = Choice(name=RESERVED)

    def features(choice: Choice) -> NDArray[np.float32]:
        source = _made(data, chosen, choice, plugins)
        return reserved_of(data, seed).features if source is None else features_of(source, seed)

    def samples(choice: Choice) -> Dataset:
        source = _made(data, chosen, choice, plugins)
        return reserved_of(data, seed) if source is None else all_samples_of(source, seed)

    return OwnData(
        public=None if public is None else _located(PUBLIC, lambda: features(public)),
        test=None if test is None else _located(EVALUATION, lambda: samples(test)),
    )


def _made(data: DataSource, chosen: Choice, choice: Choice, plugins: Plugins) -> DataSource | None:
    """Make a data source of the same task as the devices'; None for what their own sets apart."""
    if choice.name == RESERVED:
        return None
    source = plugins.data_source(choice.name, choice.options)
    if isinstance(source, Collecting) and isinstance(data, Collecting):
        inherited = _inherited(data, chosen.name, choice.name, plugins)
        source = plugins.data_source(choice.name, inherited | choice.options)
    if source.task.schema_hash != data.task.schema_hash:
        raise ConfigurationError(
            f"its data are of another kind than those of [data]: {source.task.schema.decode()} and "
            f"{data.task.schema.decode()}"
        )
    return source


def _inherited(data: Collecting, theirs: str, name: str, plugins: Plugins) -> dict[str, object]:
    """Return what the devices' data say of the task, as far as a data source of that name has the same options."""
    own, others = (
        {field.name: field.type for field in fields(plugins.options_type(Kind.DATA_SOURCE, one))}
        for one in (name, theirs)
    )
    return {
        option: value
        for option, value in data.schema_options().items()
        if option in own and own[option] == others.get(option)
    }


def _located(key: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ConfigurationError as error:
        raise located(error, "", key) from error
