"""`python -m xcapi_dagster.cli`, where the script `xcapi` is not on the path."""

from xcapi_dagster.cli import main

main(prog_name="xcapi")
