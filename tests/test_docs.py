"""The README says what the code does: its blocks run, its tables are complete."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from xcapi_dagster.cli import main
from xcapi_dagster.component import XConversionsComponent
from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.reports.counts import Counts
from xcapi_dagster.settings import VARIABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_REASONS = ROOT / "docs" / "reasons.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(language: str, page: str = README) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", re.sub(r"^ {3}", "", page, flags=re.MULTILINE), re.DOTALL)


def commands() -> list[str]:
    """Every command line that the README and the other pages show."""
    shown = [
        block
        for page in (README, *(path.read_text(encoding="utf-8") for path in PAGES))
        for block in blocks("console", page)
    ]
    return [line[2:] for block in shown for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.slow
def test_the_python_block_runs(tmp_path: Path) -> None:
    """The example for projects without `dg` defines the three assets, in the demo's environment."""
    code = (
        blocks("python")[0]
        + "\nprint(sorted(str(key) for key in defs.resolve_asset_graph().materializable_asset_keys))"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("conversions", "upload_results", "rejection_report"))


def test_the_yaml_block_is_a_component() -> None:
    """The example `defs.yaml` names the component and attributes that it has."""
    document = yaml.safe_load(blocks("yaml")[0])
    assert document["type"] == f"{XConversionsComponent.__module__}.{XConversionsComponent.__qualname__}"
    assert document["attributes"].keys() <= XConversionsComponent.model_fields.keys()


@pytest.mark.parametrize("command", sorted({line for line in commands() if line.startswith("xcapi ")}))
def test_every_shown_command_exists(command: str) -> None:
    """`xcapi` understands each command line that is shown."""
    name, *words = shlex.split(command)[1:]
    shown = main.get_command(click.Context(main), name)
    if isinstance(shown, click.Group):
        shown = shown.get_command(click.Context(shown), words.pop(0))
    assert shown is not None
    options = [parameter for parameter in shown.params if isinstance(parameter, click.Option)]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known


def test_every_setting_is_documented() -> None:
    """The table of settings names every variable."""
    assert [variable for variable in VARIABLES.values() if f"`{variable}`" not in README] == []


def test_every_count_is_documented() -> None:
    """The table of counts names everything that can become of an order."""
    names = set(Counts().as_dict()) - {"read", "requests"}
    assert {name for name in names if f"`{name}`" not in README} == set()


def test_every_reason_is_documented() -> None:
    """The generated table is the catalogue's: write it anew with `python tests/test_docs.py`."""
    assert reasons_table() in OF_REASONS.read_text(encoding="utf-8")


def test_every_link_leads_somewhere() -> None:
    """Relative links name files of the repository, and the README leads to every page."""
    for page in (ROOT / "README.md", *PAGES):
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")) if "://" not in link]
        assert [link for link in links if not (page.parent / link).exists()] == []
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in README] == []


def test_the_two_commands_are_in_the_readme() -> None:
    """One runs the demo, the other the tests, and CI runs the latter."""
    assert {"python3 dev.py demo", "python3 dev.py test"} <= set(commands())
    assert "python3 dev.py test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["test", "--quik"], ["tests"]])
def test_a_misspelled_command_starts_nothing(words: list[str]) -> None:
    """It shows which there are."""
    done = subprocess.run(
        [sys.executable, "dev.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "python3 dev.py test --quick" in done.stdout


def reasons_table() -> str:
    """The catalogue of reasons, as docs/reasons.md shows it."""
    rows = [f"| `{reason.code}` | {reason.severity} | {reason.meaning} | {reason.fix} |" for reason in REASONS.values()]
    return "\n".join(["| code | severity | meaning | what to do |", "| --- | --- | --- | --- |", *rows])


if __name__ == "__main__":
    marked = re.compile(r"(<!-- reasons -->\n).*?(<!-- /reasons -->)", re.DOTALL)
    table = marked.sub(lambda found: f"{found[1]}{reasons_table()}\n{found[2]}", OF_REASONS.read_text(encoding="utf-8"))
    OF_REASONS.write_text(table)
