"""What a step may let out when it fails."""

import re
from pathlib import Path

import dagster as dg
import pytest
from upath import UPath

import xcapi_dagster
from xcapi_dagster.boundary import sanitized
from xcapi_dagster.errors import ContractError
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.partitions.prepare import Prepared

PACKAGE = Path(xcapi_dagster.__file__).parent


def test_an_unexpected_exception_is_told_by_its_place_in_this_package(tmp_path: Path) -> None:
    """Though the standard library raises it; its message, which names the file, is kept back."""
    with pytest.raises(ContractError) as told, sanitized():
        Prepared.of_file(Outputs(UPath(tmp_path), "purchases"), "2026-11-20")
    place = re.fullmatch(r"unexpected FileNotFoundError at (.+):(\d+); its message is kept back .*", str(told.value))
    assert place
    line = (PACKAGE / place[1]).read_text().splitlines()[int(place[2]) - 1]
    assert (place[1], line.strip()) == ("parquet.py", 'opened = path.open("rb")')


def test_an_interrupt_is_dagster_s() -> None:
    """Dagster tells a run that was stopped from one that failed by the type alone."""
    with pytest.raises(dg.DagsterExecutionInterruptedError), sanitized():
        raise KeyboardInterrupt
