"""The event log as a table, in any database that SQLAlchemy speaks.

A record's payload is its msgpack, sequence, time and schema included; these three are columns as well, so that the
table can be read without this program, and both must agree. The checksum is over the payload.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    func,
    insert,
    inspect,
    select,
    update,
)

from tierwise.core.errors import StoreError
from tierwise.core.events import SCHEMA_VERSION, Record, decode_record, encode_record
from tierwise.runtime.stores.errors import StoreDamagedError

FORMAT: Final = 2
"""Of a store; a newer one is refused. Format 1 had each blob in a file of its own."""

_TABLES: Final = MetaData()
_STORE: Final = Table("tierwise_store", _TABLES, Column("format", Integer, nullable=False))
_RECORDS: Final = Table(
    "records",
    _TABLES,
    # SQLite has the rows in the order of a key that is an INTEGER, and of no other.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
)
_CHECKSUM_BYTES: Final = 16


def is_empty(connection: Connection, path: Path) -> bool:
    """Tell whether a database has no tables yet.

    Raises
    ------
    StoreError
        If it has some, and they are not a log's, or those of a newer version.
    """
    names = set(inspect(connection).get_table_names())
    if not names:
        return True
    if not names >= set(_TABLES.tables):
        raise StoreError(
            f"{path} is no tierwise store: it is a database with the tables {', '.join(sorted(names)[:5])}. "
            "Nothing was changed; name another file"
        )
    formats = connection.execute(select(_STORE.c.format)).scalars().all()
    if len(formats) != 1 or not isinstance(formats[0], int):
        raise StoreDamagedError(path, f"the format of the store is {formats!r}, where one number should be")
    if formats[0] > FORMAT:
        raise StoreError(
            f"{path} is a store of format {formats[0]}, this tierwise reads up to {FORMAT}: upgrade tierwise to read it"
        )
    return False


def create(connection: Connection) -> None:
    """Make the tables, within the transaction of the caller."""
    _TABLES.create_all(connection)
    connection.execute(insert(_STORE), [{"format": FORMAT}])


def upgrade(connection: Connection) -> None:
    """Have older programs refuse what this one is going to write, within the transaction of the caller."""
    if connection.execute(select(_STORE.c.format)).scalar_one() != FORMAT:
        connection.execute(update(_STORE).values(format=FORMAT))


def length(connection: Connection) -> int:
    """Return the sequence of the next record."""
    last = connection.execute(select(func.max(_RECORDS.c.sequence))).scalar_one()
    return 0 if last is None else int(last) + 1


def append(connection: Connection, records: Sequence[Record]) -> None:
    """Write records, within the transaction of the caller."""
    connection.execute(insert(_RECORDS), [_row(record) for record in records])


def read(connection: Connection, path: Path) -> Iterator[Record]:
    """Yield the records from the first one on.

    Raises
    ------
    StoreDamagedError
        At the first record that is missing or is not what was written.
    StoreError
        At a record of a newer schema.
    """
    rows = connection.execute(select(_RECORDS).order_by(_RECORDS.c.sequence).execution_options(yield_per=1000))
    for expected, row in enumerate(rows):
        if row.sequence != expected:
            raise StoreDamagedError(path, f"record {expected} is missing, the next one there is {row.sequence}")
        yield _record(row, path)


def _row(record: Record) -> dict[str, Any]:
    payload = encode_record(record)
    return {
        "sequence": record.sequence,
        "at": record.at,
        "schema": record.schema,
        "payload": payload,
        "checksum": _checksum(payload),
    }


def _record(row: Row[Any], path: Path) -> Record:
    sequence = row.sequence
    if not isinstance(row.payload, bytes) or _checksum(row.payload) != row.checksum:
        raise StoreDamagedError(path, f"record {sequence} does not have its checksum")
    if isinstance(row.schema, int) and row.schema > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: record {sequence} has schema {row.schema}, this tierwise reads up to {SCHEMA_VERSION}: "
            "upgrade tierwise to read this log"
        )
    try:
        record = decode_record(row.payload)
    except msgspec.MsgspecError as error:
        raise StoreDamagedError(path, f"record {sequence} cannot be decoded: {error}") from error
    if (record.sequence, record.at, record.schema) != (sequence, row.at, row.schema):
        raise StoreDamagedError(path, f"record {sequence}: the columns say something else than the payload")
    return record


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_CHECKSUM_BYTES).digest()
