"""`rejection_report`: one row per (order, reason), with what to do about it; as Parquet and as CSV."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from upath import UPath

from xcapi_dagster.conversions.reasons import reason
from xcapi_dagster.conversions.schema import REJECTION_REPORT
from xcapi_dagster.conversions.texts import is_all_ascii
from xcapi_dagster.delivery.outcomes import Outcomes
from xcapi_dagster.parquet import parquet_file
from xcapi_dagster.writing import writable

# What makes a spreadsheet read a cell as a formula (OWASP, "CSV injection"; ASVS 1.2.10), full-width forms included.
_FORMULA = r"^([\s\pZ\p{Cf}\x00]*[=+\-@\t\r\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}])"
_ASCII_FORMULA = r"^([\s\x00]*[=+\-@\t\r])"  # the same for ASCII: to compile the classes of Unicode takes longer

# Arrow writes times with a zone only where the system has a database of zones, which containers may lack.
_OF_CSV = pa.schema(
    [field.with_type(pa.string()) if pa.types.is_timestamp(field.type) else field for field in REJECTION_REPORT]
)


def validation_rejections(rejections: pa.Table) -> pa.Table:
    """The reasons that the transform found, as rows of the report."""
    columns = [
        rejections[field.name].cast(field.type) if field.name in rejections.column_names else _nulls(field, rejections)
        for field in REJECTION_REPORT
    ]
    return pa.table(columns, schema=REJECTION_REPORT)


def delivery_rejections(conversions: pa.Table, outcomes: Outcomes) -> pa.Table:
    """The conversions that X rejected or that are in doubt, as rows of the report; ``outcomes`` are in their order."""
    positions = np.flatnonzero(outcomes.reason_code != None)  # noqa: E711 - element by element
    at = pa.array(positions)
    told = conversions.take(at)
    reasons = [reason(code) for code in outcomes.reason_code[positions]]
    known = {
        "stage": [reason.stage for reason in reasons],
        "severity": [reason.severity for reason in reasons],
        "reason_code": outcomes.reason_code[positions],
        "column": outcomes.column[positions],
        "detail": outcomes.detail[positions],
        "fix": [reason.fix for reason in reasons],
        "isolated_by": outcomes.isolated_by[positions],
        "request_id": outcomes.request_id.take(at).to_pylist(),
        "debug_id": outcomes.debug_id.take(at).to_pylist(),
    }
    columns = [
        pa.array(known[field.name], field.type)
        if field.name in known
        else (told[field.name] if field.name in told.column_names else _nulls(field, told))
        for field in REJECTION_REPORT
    ]
    return pa.table(columns, schema=REJECTION_REPORT)


def write_csv(reports: Iterable[UPath], target: UPath | Path) -> None:
    """Write the Parquet of one report or of several as one CSV that is inert in a spreadsheet."""
    options = csv.WriteOptions(quoting_style="all_valid")
    with writable(target) as file, csv.CSVWriter(file, _OF_CSV, write_options=options) as writer:
        for report in reports:
            with parquet_file(report) as parquet:
                for group in range(parquet.num_row_groups):
                    writer.write_table(_inert(parquet.read_row_group(group)))


def _inert(table: pa.Table) -> pa.Table:
    return pa.table([_inert_column(column) for column in table.columns], schema=_OF_CSV)


def _inert_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        local = column.cast(pa.int64()).cast(pa.timestamp(column.type.unit))
        return pc.binary_join_element_wise(local.cast(pa.string()), "Z", "")
    return _inert_texts(column) if pa.types.is_string(column.type) else column


def _inert_texts(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(texts, _ASCII_FORMULA if is_all_ascii(texts) else _FORMULA, r"'\1")


def _nulls(field: pa.Field, like: pa.Table) -> pa.Array:
    return pa.nulls(len(like), field.type)
