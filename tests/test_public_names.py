"""What the package offers by name, and how it is installed."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import xcapi_dagster
from xcapi_dagster.cli import main

ROOT = Path(__file__).parents[1]


def test_public_names_are_the_documented_ones() -> None:
    """`__all__` is what users may rely on; a change of it is a change for them."""
    assert sorted(xcapi_dagster.__all__) == [
        "AdsApiError",
        "ConfigurationError",
        "ContractError",
        "DeliveryHaltedError",
        "LedgerError",
        "Sandbox",
        "Settings",
        "WarehouseError",
        "XConversionsComponent",
        "XConversionsError",
        "build_daily_schedule",
        "build_lateness_checks",
        "build_x_conversions_assets",
        "from_environment",
    ]
    assert all(hasattr(xcapi_dagster, name) for name in xcapi_dagster.__all__)


@pytest.mark.parametrize("command", ["--help", "explain-error 400", "sandbox --help"])
def test_a_command_that_needs_no_dagster_loads_none(command: str) -> None:
    """Asking what there is, or what an error means, takes no seconds of imports."""
    code = f"""
import sys
from xcapi_dagster.cli import main
main({command.split()}, standalone_mode=False)
print({{"dagster", "pandas", "pandera", "pyarrow", "sqlalchemy"}} & {{*sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_help_tells_of_every_command_in_a_whole_line() -> None:
    """Each that it names can be loaded, and none is cut short."""
    told = CliRunner().invoke(main, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    commands = [line.split()[0] for line in told]
    assert commands == main.list_commands(click.Context(main))
    assert all(main.get_command(click.Context(main), command) for command in commands)
    assert all(re.fullmatch(r"  [a-z-]+ +[A-Z].*[^.]\.", line) for line in told)


def test_every_error_is_this_packages_own() -> None:
    """One tree: whoever catches the root catches all."""
    errors = [getattr(xcapi_dagster, name) for name in xcapi_dagster.__all__ if name.endswith("Error")]
    assert len(errors) == 7
    assert all(issubclass(error, xcapi_dagster.XConversionsError) for error in errors)


def test_the_package_is_typed_and_versioned() -> None:
    """Type checkers find the marker; the version is the installed one."""
    assert (ROOT / "xcapi_dagster" / "py.typed").exists()
    assert xcapi_dagster.__version__ == importlib.metadata.version("xcapi-dagster")


def test_what_is_installed_is_pinned_without_an_address() -> None:
    """The lock file has a version for all that is installed here, by CONTRIBUTING's command, and no address."""
    lines = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert all("==" in line for line in lines)
    assert not any("://" in line or line.startswith("-") for line in lines)
    pinned = {line.split("==")[0].split("[")[0].lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"--extra (\w+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert extras <= project["optional-dependencies"].keys()
    wanted = project["dependencies"] + [name for extra in extras for name in project["optional-dependencies"][extra]]
    names = {name.split(">")[0].split("<")[0].split("[")[0].strip().lower() for name in wanted}
    assert names <= pinned
