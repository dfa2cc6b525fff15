"""The paths of files of orders: as DuckDB takes them, and what the folders in them say."""

import glob
import re
from collections.abc import Sequence
from typing import Final

_FOLDER: Final = re.compile(r"([^=]+)=.*")


def exactly(files: Sequence[str]) -> list[str]:
    """The files' names, in which DuckDB would otherwise find patterns."""
    return [glob.escape(file) for file in files]


def folders_of(file: str) -> frozenset[str]:
    """The columns that the folders of a file are, as `country=DE` is, `folded`."""
    keys = (found[1] for folder in file.split("/")[:-1] if (found := _FOLDER.fullmatch(folder)))
    return frozenset(folded(key) for key in keys)


def folded(name: str) -> str:
    """The name of a column as SQL quotes it, in lower case as DuckDB does that, of ASCII alone."""
    return name.encode().lower().decode().replace('"', '""')
