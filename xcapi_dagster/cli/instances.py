"""`-m` and `--name`: which component instance a command is about, and its settings."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from xcapi_dagster.settings import Settings, from_environment, misspelled


@dataclass(frozen=True, slots=True)
class ChosenInstance:
    """An instance by its name, in the user's module of Dagster definitions or, without one, in the bundled project."""

    module: str | None
    name: str

    def settings(self) -> Settings:
        """Its settings: as the module has them, else as the environment says. Raises ConfigurationError."""
        if self.module is None:
            for name, meant in misspelled(os.environ).items():
                click.echo(f"xcapi: {name} is no setting and is not read: did you mean {meant}?", err=True)
            return from_environment(os.environ, name=self.name)
        from xcapi_dagster.runs import Project  # noqa: PLC0415 - Dagster takes seconds to import

        return Project(self.module, self.name).settings()


def instance_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the options, and in their place a ChosenInstance under the name ``instance``."""

    @click.option("-m", "--module", metavar="MODULE", help="Your module of Dagster definitions.")
    @click.option("--name", default="purchases", show_default=True, help="The component instance.")
    @functools.wraps(command)
    def with_instance(*arguments: Any, module: str | None, name: str, **options: Any) -> Any:
        return command(*arguments, instance=ChosenInstance(module, name), **options)

    return with_instance
