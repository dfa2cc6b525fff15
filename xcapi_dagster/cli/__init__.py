"""`xcapi`: the command line. Exit status 0: nothing is left to do; 1: something is; 2: somebody must mend something.

That is the command, the configuration or a ledger that is lost, damaged or cannot be written: nothing was sent.

One module for each command or group of commands, loaded when it is called: most need neither Dagster nor pandas.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from io import TextIOWrapper

import click

from xcapi_dagster.errors import ConfigurationError, LedgerError, XConversionsError

# command -> what it does; the module of that name in this package defines it
_COMMANDS: Mapping[str, str] = {
    "auth": "Sign in to X, and see who is signed in.",
    "demo": "Send sample orders to a sandbox on this machine.",
    "sync": "Send what is new, and write down what became of it.",
    "plan": "Say what sending some partitions would take.",
    "status": "Show what is new, late or open.",
    "doctor": "Look for what would keep conversions from arriving.",
    "report": "Build the pages of partitions anew, and open them.",
    "explain": "Tell the whole story of one order.",
    "held": "Decide about orders of which nobody knows whether X has them.",
    "ledger": "Look at the memory of what was sent, and vouch for it.",
    "purge": "Delete what was kept for long enough.",
    "forget": "Delete what the files hold about one order.",
    "tags": "Read and change the web event tags of the ads account.",
    "explain-error": "Say what an error of X's means and what to do about it.",
    "sandbox": "Run an X Ads API on this machine to try things with.",
}


class _Commands(click.Group):
    """Loads a command when it is asked for, and turns this package's errors into one line and an exit status."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Without loading any: together they import most of what there is, which takes seconds."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = name.replace("-", "_")
        command = getattr(import_module(f"{__name__}.{module}"), module)
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal or a file that cannot show a sign gets a ? in its place
            stream.reconfigure(errors="replace")
