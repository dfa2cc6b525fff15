"""A contract of a table: its Arrow schema, and rules of its values, which pandera checks on the same columns."""

from collections.abc import Callable, Collection, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
from pandera.errors import SchemaError, SchemaErrors

from xcapi_dagster.errors import ContractError

# Which values of a column keep a rule, or which rows whose columns are given by name; null means that they do.
Rule = Callable[[Any], pa.Array]


class Broken(NamedTuple):
    """A rule, the column that it is about (None: the whole row), and the rows that break it."""

    rule: str
    column: str | None
    rows: npt.NDArray[np.bool_]


class Contract:
    """A table's schema and the rules of its values, each under the name that its failures bear."""

    def __init__(
        self, schema: pa.Schema, columns: Mapping[str, Mapping[str, Rule]], rows: Mapping[str, Rule] | None = None
    ) -> None:
        of_columns = [(name, column, rule) for column, of in columns.items() for name, rule in of.items()]
        self._schema = schema
        self._rules = [*of_columns, *((name, None, rule) for name, rule in (rows or {}).items())]
        self._frame = pandera.DataFrameSchema(checks=[_check(*each) for each in self._rules])

    def broken(self, table: pa.Table) -> list[Broken]:
        """Every rule that some rows break; ContractError if the table has other columns or types.

        Types are compared first, because of a wrong one pandera reports no rows. Its errors hold data, so that they
        must not get out of here, neither as text nor as context.
        """
        if not table.schema.equals(self._schema):
            raise ContractError(f"a table has the columns {_differing(table.schema, self._schema)}")
        try:
            self._frame.validate(table.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
        except SchemaErrors as errors:
            failures = errors.schema_errors
        else:
            return []
        return [self._broken(failure, len(table)) for failure in failures]

    def prove(self, table: pa.Table) -> pa.Table:
        """The table, in which every row keeps every rule; raises ContractError."""
        if broken := self.broken(table):
            raise ContractError(f"a table breaks its contract: {', '.join(sorted({each.rule for each in broken}))}")
        return table

    def _broken(self, failure: SchemaError, rows: int) -> Broken:
        """A failed rule; ContractError if it is none, as when a check itself fails."""
        kept = failure.check_output
        if not isinstance(kept, pd.Series) or len(kept) != rows:
            raise ContractError(f"a contract cannot be checked: {failure.reason_code}") from None
        rule, column, _ = self._rules[failure.check_index]
        return Broken(rule, column, ~kept.to_numpy(bool))


def is_in(known: Collection[str]) -> Rule:
    """The rule that a text is one of these, if there is any."""
    texts = pa.array(known, pa.string())
    return lambda values: pc.or_(pc.is_in(values, texts), values.is_null())


def has_any(rows: Mapping[str, pa.Array], columns: Collection[str]) -> pa.Array:
    """Which rows have a value in one of the columns."""
    return reduce(pc.or_, (rows[column].is_valid() for column in columns))


def _check(name: str, column: str | None, rule: Rule) -> pandera.Check:
    """The rule as pandera takes it, on a frame of Arrow columns: for a schema of each column it takes twice as long.

    An answer with another index than the frame's keeps it from collecting the values that fail, which costs five
    milliseconds a rule and would put raw addresses into its error.
    """

    def check(frame: pd.DataFrame) -> pd.Series:
        rows = _Columns(frame)
        kept = rule(rows if column is None else rows[column])
        return pd.Series(pc.fill_null(kept, True).to_numpy(zero_copy_only=False), pd.RangeIndex(1, len(frame) + 1))

    return pandera.Check(check, name=name, ignore_na=False)


class _Columns:
    """The columns of a frame, each taken out of it when it is asked for."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __getitem__(self, name: str) -> pa.Array:
        column = pa.array(self._frame[name].array)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _differing(found: pa.Schema, wanted: pa.Schema) -> str:
    names = [{f"{field.name} {field.type}" for field in schema} for schema in (found, wanted)]
    return f"{sorted(names[0] - names[1])} instead of {sorted(names[1] - names[0])}"
