"""The Dagster definitions in a user's module, or in one line why it cannot be loaded."""

import importlib
import sys
import traceback
import warnings
from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.definitions import LazyDefinitions
from pydantic import ValidationError

from xcapi_dagster.errors import ConfigurationError


def load(module: str) -> dg.Definitions:
    """The definitions in ``module``. Raises ConfigurationError, in one line, for whatever keeps it from loading."""
    if not all(name.isidentifier() for name in module.split(".")):
        raise ConfigurationError(f"-m {module!r} is no name of a module, such as my_project.definitions")
    warnings.filterwarnings("ignore", "Parameter `execution_type`", dg.BetaWarning)  # Dagster's own use of it
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` and Dagster's own commands do
    try:
        definitions = _definitions_in(importlib.import_module(module))
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"-m {module}: there is no module {error.name}") from None
    except Exception as error:  # noqa: BLE001 - it is the user's module and may do anything
        raise _unloadable(module, error) from None
    if definitions is None:
        raise ConfigurationError(f"-m {module}: the module has no `defs` that are Dagster definitions")
    return definitions


def _unloadable(module: str, error: Exception) -> ConfigurationError:
    """What is wrong with the module or its YAML; a value, which may be a secret, is not repeated."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, ConfigurationError):
            return cause
        if isinstance(cause, ValidationError):
            wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in cause.errors(include_input=False))
            return ConfigurationError(f"-m {module}: {cause.title}: {'; '.join(wrong)}")
        if mark := getattr(cause, "problem_mark", None):  # of the YAML parser
            what = getattr(cause, "problem", "it is no YAML")
            return ConfigurationError(f"-m {module}: {mark.name}, line {mark.line + 1}: {what}")
    first = next(cause for cause in reversed(causes) if cause.__traceback__)
    place = traceback.extract_tb(first.__traceback__)[-1]
    what = f"{type(first).__name__} at {Path(place.filename).name}:{place.lineno}"
    said = str(first).partition("\n")[0]
    return ConfigurationError(f"-m {module} cannot be loaded: {what}: {said}; `python -m {module}` may tell more")


def _definitions_in(module: ModuleType) -> dg.Definitions | None:
    """The module's `defs`, else what a function decorated with `@dg.definitions` gives; None where there are none."""
    found = [value for value in vars(module).values() if isinstance(value, dg.Definitions | LazyDefinitions)]
    definitions = getattr(module, "defs", found[0] if found else None)
    if isinstance(definitions, LazyDefinitions):
        definitions = definitions()
    return definitions if isinstance(definitions, dg.Definitions) else None
