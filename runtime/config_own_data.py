"""The tables that say how groups learn from each other, and which data the coordinator itself holds for that.

::

    [exchange]
    policy = "distill"
    epochs = 3

    [exchange.public]           # unlabelled samples; left out, it is what [data] sets apart
    source = "npz"
    path = "public.npz"

    [evaluation]                # labelled samples on which the coordinator measures each model
    source = "npz"
    path = "test.npz"
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from tierwise.core.errors import ConfigurationError, PluginError
from tierwise.core.exchange import NO_EXCHANGE
from tierwise.core.learning import Dataset, DataSource, reserved_of
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.plugins.paths import code_in
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Choice
from tierwise.runtime.tables import Tables, located

T = TypeVar("T")

RESERVED: Final = "reserved"
"""The source that stands for the samples which ``[data]`` sets apart."""
PUBLIC: Final = "exchange.public"
EVALUATION: Final = "evaluation"


def read_exchange(tables: Tables, plugins: Plugins) -> tuple[Choice, Choice | None]:
    """Read ``[exchange]``: the policy, and the data source of the public set, if one is named."""
    values = tables.values("exchange")
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
        for key, value in {**values, **({} if public is None else {"public": public})}.items():
            tables.fault(f"{key} is {value!r}, but no policy is named: set policy, or leave it out", f"exchange.{key}")
        return Choice(name=NO_EXCHANGE), None
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
    data: DataSource, exchange: Choice, public: Choice | None, test: Choice | None, plugins: Plugins, seed: int
) -> OwnData:
    """Read what the coordinator holds.

    Parameters
    ----------
    data
        The source of the devices' data.
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
    features = None if public is None else _located(PUBLIC, lambda: _samples(data, public, plugins, seed).features)
    return OwnData(
        public=features,
        test=None if test is None else _located(EVALUATION, lambda: _samples(data, test, plugins, seed)),
    )


def _samples(data: DataSource, choice: Choice, plugins: Plugins, seed: int) -> Dataset:
    """Return the samples that the data's source sets apart, or all samples of another source."""
    if choice.name == RESERVED:
        return reserved_of(data, seed)
    source = plugins.data_source(choice.name, choice.options)
    if source.task.schema_hash != data.task.schema_hash:
        raise ConfigurationError(
            f"its data are of another kind than those of [data]: {source.task.schema.decode()} and "
            f"{data.task.schema.decode()}"
        )
    local = source.load(0, 1, seed)
    return Dataset(
        np.concatenate([local.train.features, local.holdout.features]),
        np.concatenate([local.train.labels, local.holdout.labels]),
    )


def _located(key: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ConfigurationError as error:
        raise located(error, "", key) from error
