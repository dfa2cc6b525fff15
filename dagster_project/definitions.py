"""The code location: `dg dev`, `dagster asset materialize -m dagster_project.definitions`, `xcapi sync`.

Its executor runs the steps in the run's own process: three steps of one partition cost a second instead of twelve.
"""

from pathlib import Path

import dagster as dg

defs = dg.Definitions.merge(
    dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
    dg.Definitions(executor=dg.in_process_executor),
)
