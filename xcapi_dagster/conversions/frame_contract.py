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
from pandera.errors import SchemaErrors

from xcapi_dagster.conversions.texts import to_bools, whole
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
        self._frame = pandera.DataFrameSchema(checks=[pandera.Check(self._kept, name="rules", ignore_na=False)])

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
            (failure,) = errors.schema_errors
        else:
            return []
        kept = failure.check_output
        if not isinstance(kept, pd.Series):  # but what a rule has raised
            raise ContractError(f"a contract cannot be checked: {failure.reason_code}") from None
        of_rules = kept.to_numpy(bool).reshape(len(self._rules), len(table))
        return [
            Broken(name, column, ~of_rule)
            for (name, column, _), of_rule in zip(self._rules, of_rules, strict=True)
            if not of_rule.all()
        ]

    def prove(self, table: pa.Table) -> pa.Table:
        """The table, in which every row keeps every rule; raises ContractError."""
        if broken := self.broken(table):
            raise ContractError(f"a table breaks its contract: {', '.join(sorted({each.rule for each in broken}))}")
        return table

    def _kept(self, frame: pd.DataFrame) -> pd.Series:
        """Whether each row keeps the first rule, then the second, and so on: one check, for each takes pandera long.

        An answer with another index than the frame's keeps it from collecting the values that fail, which costs five
        milliseconds and would put raw addresses into its error.
        """
        rows = _Columns(frame)
        answers = [rule(rows if column is None else rows[column]) for _, column, rule in self._rules]
        kept = [to_bools(pc.or_kleene(answer, answer.is_null())) for answer in answers]
        return pd.Series(np.concatenate(kept), pd.RangeIndex(1, len(kept) * len(frame) + 1))


def is_in(known: Collection[str]) -> Rule:
    """The rule that a text is one of these, if there is any."""
    texts = pa.array(known, pa.string())
    return lambda values: pc.or_(pc.is_in(values, texts), values.is_null())


def has_any(rows: Mapping[str, pa.Array], columns: Collection[str]) -> pa.Array:
    """Which rows have a value in one of the columns."""
    return reduce(pc.or_, (rows[column].is_valid() for column in columns))


class _Columns(dict[str, pa.Array]):
    """The columns of a frame, each taken out of it when it is asked for first."""

    def __init__(self, frame: pd.DataFrame) -> None:
        super().__init__()
        self._frame = frame

    def __missing__(self, name: str) -> pa.Array:
        self[name] = column = whole(pa.array(self._frame[name].array))
        return column


def _differing(found: pa.Schema, wanted: pa.Schema) -> str:
    names = [{f"{field.name} {field.type}" for field in schema} for schema in (found, wanted)]
    return f"{sorted(names[0] - names[1])} instead of {sorted(names[1] - names[0])}"
