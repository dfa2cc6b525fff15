"""Which modules of Dagster definitions can be run, and which of their partitions."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.runs import Project

ASSETS = """
import dagster as dg
from xcapi_dagster import build_x_conversions_assets, from_environment

ASSETS = build_x_conversions_assets(from_environment({}, name="shop"))
"""
MODULES = {
    "a_value": "defs = dg.Definitions(assets=ASSETS)",
    "a_value_by_another_name": "definitions = dg.Definitions(assets=ASSETS)",
    "a_function": "@dg.definitions\ndef all_of_it():\n    return dg.Definitions(assets=ASSETS)",
}

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module beside the user, who may then name it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def written(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    yield written
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", MODULES)
def test_definitions_may_be_a_value_or_a_function(write: Write, name: str) -> None:
    """Whatever Dagster's own commands load, and whatever it is called."""
    project = Project(write(f"loads_{name}", ASSETS + MODULES[name]), "shop")
    assert project.partitions("2026-10-20", "2026-10-22") == ["2026-10-20", "2026-10-21", "2026-10-22"]


@pytest.mark.parametrize(
    ("code", "name", "told"),
    [
        ("defs = 7", "shop", "no `defs`"),
        (ASSETS, "shop", "no `defs`"),
        (ASSETS + MODULES["a_value"], "another", "no assets of an instance called another"),
        ("import no_such_module_at_all", "shop", "there is no module no_such_module_at_all"),
        (
            "from xcapi_dagster import from_environment\nfrom_environment({'X_ADS_PIXEL_ID': 'o8z6j'})",
            "shop",
            "set XCAPI_HOME",
        ),
    ],
)
def test_what_cannot_be_run_is_named(write: Write, code: str, name: str, told: str) -> None:
    """One line that says what is missing."""
    with pytest.raises(ConfigurationError, match=told):
        Project(write("cannot_be_run", code), name)


@pytest.mark.parametrize("module", ["", "..shop", "shop/definitions.py", "shop."])
def test_what_is_no_name_of_a_module_is_refused(module: str) -> None:
    """Before anything is imported."""
    with pytest.raises(ConfigurationError, match="is no name of a module"):
        Project(module, "shop")


def test_a_module_that_is_not_there_is_named(write: Write) -> None:
    """By the name that was given."""
    with pytest.raises(ConfigurationError, match="there is no module no_such_project"):
        Project("no_such_project", "shop")


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("2026-10-19", "2026-10-20", "'2026-10-19' is no partition of shop: those that have ended run from 2026-10-20"),
        ("2026-10-20", "yesterday", "'yesterday' is no partition"),
        ("2026-10-22", "2026-10-20", "--from 2026-10-22 is after --to 2026-10-20"),
    ],
)
def test_partitions_that_do_not_exist_are_named(write: Write, first: str, last: str, told: str) -> None:
    """With those that do."""
    project = Project(write("has_partitions", ASSETS + MODULES["a_value"]), "shop")
    with pytest.raises(ConfigurationError, match=told):
        project.partitions(first, last)
