"""The summaries of all partitions of an instance: what is new in one of them, and what all of them together say."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from xcapi_dagster.outputs import Outputs, reading
from xcapi_dagster.reports.summary import Summary

_ENOUGH = 3  # partitions before one can say that something was never seen
_READERS = 16  # an object store answers each in its own time


class History:
    """The summaries that there were when a run began, and those that it added, by partition."""

    def __init__(self, summaries: Iterable[Summary] = ()) -> None:
        self._summaries = {summary.partition: summary for summary in summaries}

    @classmethod
    def of(cls, outputs: Outputs) -> "History":
        """All summaries that are there. One that is none, as of a newer version, is as if it were not.

        Raises XConversionsError where the folder or the store does not say what it has.
        """
        return cls(_read(outputs, list_summaries(outputs)))

    def add(self, summary: Summary) -> None:
        """Add a partition's summary, in place of its earlier one."""
        self._summaries[summary.partition] = summary

    @property
    def all(self) -> list[Summary]:
        """All, in the order of the partitions' keys, which for partitions by time is that of time."""
        return [self._summaries[key] for key in sorted(self._summaries)]

    def of_scope(self, scope: str) -> dict[str, Summary]:
        """Those about this host and pixel, by partition: what another was sent, as a sandbox, is still to be sent here.

        Also those that do not say what they are about.
        """
        return {key: summary for key, summary in self._summaries.items() if summary.scope in ("", scope)}

    def before(self, partition: str) -> list[Summary]:
        """Those of earlier partitions."""
        return [summary for summary in self.all if summary.partition < partition]


def new_reasons(summaries: Iterable[Summary]) -> dict[str, set[str]]:
    """For each partition the reason codes that none of those before it has, as soon as there are enough to tell.

    ``summaries`` are in the order of their partitions.
    """
    new: dict[str, set[str]] = {}
    seen: set[str] = set()
    partitions = 0
    for summary in summaries:
        codes = {reason.code for reason in summary.reasons}
        new[summary.partition] = codes - seen if partitions >= _ENOUGH else set()
        seen |= codes
        partitions += bool(summary.states)
    return new


def list_summaries(outputs: Outputs) -> dict[str, str]:
    """The path of every summary, with what the store says of the file: another text when it was written anew."""
    folder = outputs.overview.parent
    folder.fs.invalidate_cache()
    with reading(folder, outputs.setting), suppress(FileNotFoundError, NotADirectoryError):
        listed: list[dict[str, Any]] = folder.fs.ls(folder.path, detail=True)
        return {file["name"]: str(file) for file in listed if file["name"].endswith(".summary.json")}
    return {}


def _read(outputs: Outputs, paths: Iterable[str]) -> list[Summary]:
    with ThreadPoolExecutor(_READERS) as pool:
        return [summary for summary in pool.map(lambda path: _summary(outputs, path), paths) if summary]


def _summary(outputs: Outputs, path: str) -> Summary | None:
    with reading(path, outputs.setting), suppress(FileNotFoundError, ValidationError):
        return Summary.model_validate_json(outputs.root.fs.cat_file(path))
    return None
