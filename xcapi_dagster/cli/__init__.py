"""`xcapi`: the command line. Exit status 0: nothing is left to do; 1: something is; 2: somebody must mend something.

That is the command, the configuration or a ledger that is lost, damaged or cannot be written: nothing was sent.

One module for each command or group of commands, loaded when it is called: most need neither Dagster nor pandas.
"""

from collections.abc import Mapping
from importlib import import_module

import click

from xcapi_dagster.errors import ConfigurationError, LedgerError, XConversionsError

# command -> the module of this package that defines it, under the command's name with underscores
_MODULES: Mapping[str, str] = {
    "auth": "auth",
    "demo": "demo",
    "sync": "sync",
    "plan": "plan",
    "status": "status",
    "doctor": "doctor",
    "report": "report",
    "explain": "explain",
    "held": "held",
    "ledger": "ledger",
    "purge": "purge",
    "forget": "forget",
    "tags": "tags",
    "explain-error": "explain_error",
    "sandbox": "sandbox",
}


class _Commands(click.Group):
    """Loads a command when it is asked for, and turns this package's errors into one line and an exit status."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        command = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - says what the table above promises
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if any("\ud800" <= character <= "\udfff" for argument in args for character in argument):
            raise click.UsageError("an argument is no text in UTF-8")
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (ConfigurationError, LedgerError) as error:
            click.echo(f"xcapi: {error}", err=True)
            context.exit(2)
        except XConversionsError as error:
            click.echo(f"xcapi: {error}", err=True)
            context.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="xcapi-dagster")
def main() -> None:
    """Deliver purchases to the X Ads Conversion API, and know what became of every order."""
