"""Which columns of a changed order differ from what X accepted: their names, never their values.

Every run writes the conversions of a partition anew. Those that they take the place of lie aside until a report has
told what became of the new ones; what it told of changes is read from it when the next one is written.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from xcapi_dagster.delivery.key_index import KeyIndex
from xcapi_dagster.delivery.keys import Fingerprints, Keys
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.delivery.outcomes import Column, Outcomes
from xcapi_dagster.delivery.standing import Standing, Standings, differs
from xcapi_dagster.outputs import FileKind, Outputs
from xcapi_dagster.parquet import parquet_file
from xcapi_dagster.partitions.chunks import MakesKeys, keys_of, row_groups
from xcapi_dagster.writing import written

_NOT_COMPARED = ("row", "order_id", "event_id", "conversion_id", "fingerprint")
_NOT_KNOWN = "which columns changed is not known: what was sent is not kept any more"
_CODE = "changed_after_acceptance"

_Ids = tuple[str, str]  # of event and conversion


def set_aside(partition: str, outputs: Outputs) -> None:
    """Keep a copy of the conversions that are about to be replaced; older ones that lie there say more, and stay."""
    source, target = outputs.path("conversions", partition), outputs.path("superseded", partition)
    if source.exists() and not target.exists():
        with outputs.writing("superseded", partition) as path, written(path):
            source.fs.cp_file(source.path, path.path)


def drop_aside(partition: str, outputs: Outputs) -> None:
    """The report was written: what lay aside is not needed any more."""
    outputs.path("superseded", partition).unlink(missing_ok=True)


class Changes:
    """The changes of one partition. Nothing is read unless some of its orders have changed."""

    def __init__(self, partition: str, ledger: Ledger, outputs: Outputs) -> None:
        self._partition = partition
        self._ledger = ledger
        self._outputs = outputs

    def named(self, read: Callable[[], pa.Table], keys: Keys, found: Standings, told: Outcomes) -> Outcomes:
        """``told`` of those conversions that ``read`` gives, with the columns of the changed ones."""
        changed = np.flatnonzero(found.standing == Standing.CHANGED)
        if not len(changed):
            return told
        new = read().take(pa.array(changed))
        names = self._names(new, keys[changed], found.known.fingerprints[changed])
        column, detail = told.column.copy(), told.detail.copy()
        column[changed] = names
        senders = [self._ledger.memory.requests[each].partition for each in found.known.requests[changed].tolist()]
        detail[changed] = [
            None if each else self._why_unnamed(sender) for each, sender in zip(names, senders, strict=True)
        ]
        return told._replace(column=column, detail=detail)

    def _why_unnamed(self, sender: str) -> str:
        if sender == self._partition:
            return _NOT_KNOWN
        return f"it was sent as of {sender}: the order has moved from there, or another one has its conversion id"

    def _names(self, new: pa.Table, keys: Keys, accepted: Fingerprints) -> Column:
        """What differs of each of ``new``, as "value, currency"; None where that is not known."""
        ids = list(zip(new["event_id"].to_pylist(), new["conversion_id"].to_pylist(), strict=True))
        names = np.empty(len(new), object)
        if self._superseded is None:
            names[:] = [self._told_before.get(each) for each in ids]
            return names
        at, old = self._superseded.rows(keys)
        fingerprints, new = old["fingerprint"].to_numpy(), new.take(pa.array(at))
        is_accepted = fingerprints == accepted[at]
        is_other = differs(new["fingerprint"].to_numpy(), fingerprints)
        for position, since, exact, other in zip(at.tolist(), _differing(old, new), is_accepted, is_other, strict=True):
            before = self._told_before.get(ids[position])
            if exact:
                names[position] = ", ".join(since)
            elif before:  # the old one was not what X accepted either
                names[position] = ", ".join(dict.fromkeys([*before.split(", "), *(since if other else ())]))
        return names

    @cached_property
    def _superseded(self) -> "_Superseded | None":
        path = self._outputs.path("superseded", self._partition)
        return _Superseded(path, self._ledger) if path.exists() else None

    @cached_property
    def _told_before(self) -> Mapping[_Ids, str]:
        """The columns that the latest report names; it has its changed orders in the order of the results."""
        results = self._rows("upload_results", "state", "changed", ["event_id", "conversion_id", "order_id"])
        report = self._rows("rejection_report", "reason_code", _CODE, ["column", "order_id"])
        if not results or not report or not results["order_id"].equals(report["order_id"]):
            return {}
        ids = zip(results["event_id"].to_pylist(), results["conversion_id"].to_pylist(), strict=True)
        return {each: names for each, names in zip(ids, report["column"].to_pylist(), strict=True) if names}

    def _rows(self, kind: FileKind, column: str, value: str, wanted: list[str]) -> pa.Table | None:
        with suppress(FileNotFoundError):
            groups = row_groups(self._outputs.path(kind, self._partition), columns=[*wanted, column])
            return pa.concat_tables(each.filter(pc.equal(each[column], value)) for each in groups)
        return None


class _Superseded:
    """Conversions that lie aside, found by their keys; in some 36 bytes of memory each."""

    def __init__(self, path: UPath, ledger: MakesKeys) -> None:
        self._path = path
        self._index = KeyIndex()
        self._ends = [0]
        for conversions in row_groups(path, columns=["event_id", "conversion_id", "fingerprint"]):
            start, end = self._ends[-1], self._ends[-1] + len(conversions)
            numbers = np.arange(start + 1, end + 1, dtype=np.uint32)
            self._index.add(keys_of(ledger, conversions), conversions["fingerprint"].to_numpy(), numbers)
            self._ends.append(end)

    def rows(self, keys: Keys) -> tuple[NDArray[np.intp], pa.Table]:
        """Which of ``keys`` are there, in the order of the file, and their rows."""
        numbers = self._index.find(keys).requests.astype(np.int64) - 1
        at = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers < 0) :]
        return at, pa.concat_tables(self._read(numbers[at]))

    def _read(self, numbers: NDArray[np.int64]) -> Iterator[pa.Table]:
        with parquet_file(self._path) as parquet:
            yield parquet.schema_arrow.empty_table()
            groups = np.searchsorted(self._ends, numbers, side="right") - 1
            for group in np.unique(groups).tolist():
                here = numbers[groups == group] - self._ends[group]
                yield parquet.read_row_group(group).take(pa.array(here))


def _differing(old: pa.Table, new: pa.Table) -> list[list[str]]:
    """For each row the names of the columns that differ."""
    names = [name for name in new.column_names if name in old.column_names and name not in _NOT_COMPARED]
    differing: list[list[str]] = [[] for _ in range(len(new))]
    for name in names:
        one, other = old[name], new[name]
        are_given = pc.and_(one.is_valid(), other.is_valid())
        is_other = pc.if_else(are_given, pc.not_equal(one, other), pc.xor(one.is_valid(), other.is_valid()))
        for position in np.flatnonzero(is_other.to_numpy()).tolist():
            differing[position].append(name)
    return differing
