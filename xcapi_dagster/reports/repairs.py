"""What mending the warehouse brought back: a line for each partition that was repaired, kept beside the report."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from xcapi_dagster.outputs import Outputs

_FILE = "repairs.json"
_MOST_KEPT = 1_000  # the latest


@dataclass(frozen=True, slots=True)
class Repaired:
    """How many of the orders of a partition that were ``lost`` for the reason ``code`` X has accepted since."""

    at: str  # the day, ISO 8601
    code: str
    partition: str
    lost: int
    recovered: int


def repairs(outputs: Outputs) -> list[Repaired]:
    """All that were noted, the latest first. A file that cannot be read says nothing."""
    try:
        return [Repaired(**each) for each in json.loads(outputs.read_own(_FILE) or "[]")]
    except (ValueError, TypeError):
        return []


def note(outputs: Outputs, repaired: Iterable[Repaired]) -> None:
    """Keep what a repair did, for the overview. Raises what writing to the output folder does."""
    kept = [*repaired, *repairs(outputs)][:_MOST_KEPT]
    outputs.write_text(outputs.own_path(_FILE), json.dumps([asdict(each) for each in kept], indent=1))
