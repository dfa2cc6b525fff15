"""Parquet files whose columns differ in type, read so that every value is what it is in its own file.

Of several types DuckDB makes one, and that may not hold them all: of 9007199254740993 and 5.0 it makes two doubles, of
5.0 and `A-1` two texts, one of which is `5.0`, and of decimals with two and with six places the former. An order would
come to have another id, and be sent again, or another amount. So such columns are read as text. And of folders that are
columns it knows nothing where one file lies in others; so files are read by the folders that they are in.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import duckdb

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.warehouse.drivers import VARIABLE
from xcapi_dagster.warehouse.paths import exactly, folded, folders_of
from xcapi_dagster.warehouse.query import KNOWN_COLUMNS, NUMBER_COLUMNS, TIME_COLUMNS

_SCHEMAS: Final = "SELECT name, coalesce(duckdb_type, ''), coalesce(num_children, 0) FROM parquet_schema(?)"
_INSTANTS: Final = ("TIMESTAMP WITH", "TIMESTAMPTZ")
_LOCAL_TIMES: Final = ("DATE", "TIMESTAMP")
_WHOLE: Final = re.compile(r"U?(?:TINY|SMALL|BIG)INT|U?INTEGER")
_DECIMAL: Final = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")
_FLOATS: Final = frozenset({"FLOAT", "DOUBLE"})
_TIMES: Final = frozenset({"instant", "local"})
_NESTED: Final = frozenset({"list", "struct"})
_FIELD: Final = "\0"  # between the items and the name of a field of theirs, and in no name of a column
_WHOLE_DIGITS: Final = 20  # of the largest whole number
_MOST_DIGITS: Final = 38  # of a decimal

# As the transform reads a column of their type: whole numbers as texts, amounts rounded at the sixth decimal. Which of
# these a column is that a query will rename, nobody knows.
_WHOLE_AS_TEXT: Final = """
    CASE WHEN isnan({0}) THEN NULL
         WHEN abs({0}) < 9007199254740992 AND trunc({0}) = {0} THEN {0}::BIGINT::VARCHAR
         WHEN {0} IS NOT NULL THEN '\ufffd' END
"""
_FLOAT_AS_TEXT: Final = """
    CASE WHEN isnan({0}) THEN NULL
         WHEN abs({0}) >= 9007199254740992 THEN '\ufffd'
         ELSE regexp_replace({0}::VARCHAR::DECIMAL(38, 6)::VARCHAR, '\\.0+$|(\\.[0-9]*[1-9])0+$', '\\1') END
"""
_AMOUNT_AS_TEXT: Final = "coalesce(TRY_CAST({0}::VARCHAR AS DECIMAL(38, 6))::VARCHAR, {0}::VARCHAR)"
# Writers may not say that bytes are text; those of a hash are its digits.
_BYTES_AS_TEXT: Final = "CASE WHEN {0} IS NOT NULL THEN coalesce(TRY(decode({0})), '\ufffd') END"
_HASH_AS_TEXT: Final = "CASE WHEN octet_length({0}) = 32 AND TRY(decode({0})) IS NULL THEN lower(hex({0})) ELSE {1} END"
_DECIMAL_AS_TEXT: Final = r"regexp_replace({0}::VARCHAR, '\.0+$', '')"
_WHOLE_DECIMAL_AS_TEXT: Final = f"CASE WHEN {_DECIMAL_AS_TEXT} LIKE '%.%' THEN '\ufffd' ELSE {_DECIMAL_AS_TEXT} END"

_Types = frozenset[tuple[str, str]]


def groups_alike(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Files that can be read together, and what is to follow the asterisk of their SELECT.

    ConfigurationError where a file has a known column twice, of which DuckDB would call one `EMAIL_1`, and where it has
    numbers in a column that tells time in others: no partition would have its orders.
    """
    types = list(_types(connection, files))
    _refuse_numbers_beside_times(files, types)
    every: dict[str, set[str]] = {}
    for name, type_ in set[tuple[str, str]]().union(*types):
        every.setdefault(name, set()).add(type_)
    mixed = {_column(name) for name, found in every.items() if _is_mixed(found)}
    groups: dict[tuple[_Types, frozenset[str]], list[str]] = {}
    for file, told in zip(files, types, strict=True):
        differing = frozenset(each for each in told if _column(each[0]) in mixed)
        groups.setdefault((differing, folders_of(file)), []).append(file)  # folders are columns if all files have them
    for (told, _), alike in groups.items():
        texts = ", ".join(f'{_as_text(name, type_)} AS "{name}"' for name, type_ in sorted(told) if _FIELD not in name)
        yield (f"REPLACE ({texts})" if texts else ""), alike


def _refuse_numbers_beside_times(files: Sequence[str], types: Sequence[_Types]) -> None:
    for name in TIME_COLUMNS:
        files_of = {kind: file for file, told in zip(files, types, strict=True) for each, kind in told if each == name}
        numbers = [file for kind, file in files_of.items() if _is_number(kind)]
        if numbers and _TIMES & {*files_of}:
            raise ConfigurationError(
                f"{VARIABLE}: {numbers[0]} has {name} as a number, and other files have it as a time: write that file "
                "anew, with times"
            )


def _types(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> Iterator[_Types]:
    """For each file the columns that are times, numbers or texts, as SQL quotes them, and what of these they are.

    Of the items, what their fields are too.
    """
    rows = iter(connection.sql(_SCHEMAS, params=[exactly(files)]).fetchall())  # a file, its columns, their fields
    for file, (_, _, columns) in zip(files, rows, strict=True):
        types: set[tuple[str, str]] = set()
        known: set[str] = set()
        for _ in range(columns):
            name, type_, fields = next(rows)
            leaves = list(_leaves(rows, fields))
            if name.lower() in known:
                raise ConfigurationError(f"{VARIABLE}: {file} has the column {name.lower()} twice; drop one of them")
            known |= {name.lower()} & {*KNOWN_COLUMNS}
            column = folded(name)
            if not fields and (kind := _kind(type_)):
                types.add((column, kind))
            elif fields and column == "items":
                types.add((column, "list" if type_.endswith("[]") else "struct"))
                types |= {(f"{column}{_FIELD}{leaf}", kind) for leaf, type_ in leaves if (kind := _kind(type_))}
        folders = folders_of(file)  # each a text, whatever the file itself has in a column of that name
        yield frozenset((key, "VARCHAR") for key in folders) | {each for each in types if each[0] not in folders}


def _leaves(rows: Iterator[tuple[str, str, int]], fields: int) -> Iterator[tuple[str, str]]:
    """The name and the type of each field below a column with so many, which are the next ``rows``."""
    while fields:
        name, type_, more = next(rows)
        fields += more - 1
        if not more:
            yield name.lower(), type_


def _column(name: str) -> str:
    return name.partition(_FIELD)[0]


def _kind(type_: str) -> str | None:
    """What can be read together with the same; None for what DuckDB brings together well with anything."""
    if type_.startswith(_LOCAL_TIMES):
        return "instant" if type_.startswith(_INSTANTS) else "local"
    if _WHOLE.fullmatch(type_):
        return "whole"
    return type_ if type_ in ("VARCHAR", "BLOB") or type_ in _FLOATS or _DECIMAL.fullmatch(type_) else None


def _is_number(kind: str) -> bool:
    return kind == "whole" or kind in _FLOATS or bool(_DECIMAL.fullmatch(kind))


def _is_mixed(kinds: set[str]) -> bool:
    """Whether a column of these kinds, each of some files, has no type that holds all of them as they are."""
    decimals = [(int(found[1]), int(found[2])) for kind in kinds if (found := _DECIMAL.fullmatch(kind))]
    if kinds & {*_FLOATS, *_NESTED, "BLOB"} or (decimals and "VARCHAR" in kinds):
        return len(kinds) > 1
    if "whole" in kinds:
        decimals.append((_WHOLE_DIGITS, 0))
    digits = max((precision - scale for precision, scale in decimals), default=0)
    places = max((scale for _, scale in decimals), default=0)
    times = kinds & _TIMES
    return digits + places > _MOST_DIGITS or len(times) > 1 or bool(times and decimals)


def _as_text(name: str, kind: str) -> str:
    """The SQL that reads a column of this kind as text, that of a nested one as JSON."""
    column, is_text = f'"{name}"', name in KNOWN_COLUMNS and name not in NUMBER_COLUMNS
    if kind in _NESTED:
        return f"to_json({column})::VARCHAR"
    if kind in _FLOATS:
        amount = _AMOUNT_AS_TEXT if name in NUMBER_COLUMNS else _FLOAT_AS_TEXT
        return (_WHOLE_AS_TEXT if is_text else amount).format(column)
    if _DECIMAL.fullmatch(kind):
        return (_WHOLE_DECIMAL_AS_TEXT if is_text else _DECIMAL_AS_TEXT).format(column)
    if kind == "BLOB":
        text = _BYTES_AS_TEXT.format(column)
        return _HASH_AS_TEXT.format(column, text) if name.startswith("hashed_") else text
    return f"{column}::VARCHAR"
