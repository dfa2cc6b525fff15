"""`-m` and `--name`: which component instance a command is about, and its settings."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from xcapi_dagster.ads_api.tag_plan import WantedTag
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.settings import BUNDLED_INSTANCE, Settings, from_environment, misspelled


@dataclass(frozen=True, slots=True)
class ChosenInstance:
    """An instance by its name, in the user's module of Dagster definitions or, without one, in the bundled project."""

    module: str | None
    name: str

    @property
    def options(self) -> str:
        """What a command about it needs after its name, with a space before each."""
        module = f" -m {self.module}" if self.module else ""
        return module if self.name == BUNDLED_INSTANCE else f"{module} --name {self.name}"

    def settings(self) -> Settings:
        """Its settings: as the module has them, else as the environment says. Raises ConfigurationError.

        Also for an instance of another name than the bundled project's without a module: with its prefix or its YAML it
        may have another pixel than the environment says, and the ledger would learn, or forget, under the wrong one.
        """
        for name, meant in misspelled(os.environ).items():
            click.echo(f"xcapi: {name} is no setting and is not read: did you mean {meant}?", err=True)
        if self.module is None:
            settings = from_environment(os.environ, name=self.name)
            if self.name != BUNDLED_INSTANCE:
                raise ConfigurationError(f"--name {self.name}: say with -m which module has it")
            return settings
        from xcapi_dagster.runs import Project  # noqa: PLC0415 - Dagster takes seconds to import

        return Project(self.module, self.name).settings()

    def wanted_event_tags(self) -> Sequence[WantedTag]:
        """The event tags that should exist, as the instance's YAML says; without a module, that of the bundled project.

        Of an instance that only the environment describes there are none. Raises ConfigurationError.
        """
        if self.module is None and self.name != BUNDLED_INSTANCE:
            return ()
        from xcapi_dagster.runs import BUNDLED_PROJECT, Project  # noqa: PLC0415 - Dagster takes seconds to import

        _, wanted = Project(self.module or BUNDLED_PROJECT, self.name).wanted_event_tags()
        return wanted


def instance_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the options, and in their place a ChosenInstance under the name ``instance``."""

    @click.option("-m", "--module", metavar="MODULE", help="Your module of Dagster definitions.")
    @click.option("--name", default=BUNDLED_INSTANCE, show_default=True, help="The component instance.")
    @functools.wraps(command)
    def with_instance(*arguments: Any, module: str | None, name: str, **options: Any) -> Any:
        return command(*arguments, instance=ChosenInstance(module, name), **options)

    return with_instance
