"""What the operator's commands have in common: the ledger of an instance, who decides, and why."""

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from xcapi_dagster import resources
from xcapi_dagster.cli.instances import ChosenInstance
from xcapi_dagster.delivery.ledger import Ledger
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.settings import Settings

_LONGEST_REASON = 500


def why_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--why`, which is kept with the decision."""
    return click.option("--why", required=True, callback=_reason, help="Kept with your name and the time.")(command)


@contextmanager
def ledger_of(instance: ChosenInstance) -> Iterator[tuple[Ledger, Settings]]:
    """The ledger of ``instance``, entered, and its settings. ConfigurationError where there is none yet."""
    settings = instance.settings()
    resources.check_ledger(settings)
    with resources.operators_ledger_of(settings) as ledger:
        yield ledger, settings


def operator() -> str:
    """Who decides: the user, by number where containers give it no name, and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def plain(text: object) -> str:
    """``text`` without anything that a terminal obeys: control characters and invisible ones are replaced."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text))


def at(seconds: float) -> str:
    """A time, in seconds since 1970, for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _reason(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    text = " ".join(value.split())
    if not text:
        raise click.BadParameter("say why in a few words: it is kept with the decision")
    if len(text) > _LONGEST_REASON:
        raise ConfigurationError(f"--why is longer than {_LONGEST_REASON} characters")
    return text
