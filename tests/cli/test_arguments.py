"""Arguments that no command can use: one line, exit status 2."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Instance
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.runs import dagster_instance

Xcapi = Callable[..., Result]


@pytest.mark.parametrize(
    "words", [("explain", "A-\udcff"), ("ledger", "accept-scope", "--why", "\udcff\udcfe"), ("\udcff",)]
)
@pytest.mark.usefixtures("environ")
def test_bytes_that_are_no_text_are_refused(xcapi: Xcapi, words: tuple[str, ...]) -> None:
    """As a shell hands them on when they are not UTF-8."""
    done = xcapi(*words)
    assert done.exit_code == 2
    assert done.stderr.endswith("Error: an argument is no text in UTF-8\n")


def test_a_record_that_cannot_be_kept_is_not_blamed_on_the_port(xcapi: Xcapi, tmp_path: Path) -> None:
    """The file is named."""
    path = tmp_path / "no folder" / "record.jsonl"
    done = xcapi("sandbox", "--port", "0", "--record", str(path))
    assert done.exit_code == 2
    assert done.stderr == f"xcapi: --record: {path} cannot be used: No such file or directory\n"


def test_a_dagster_home_that_cannot_be_made_is_named(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable."""
    blocked = instance.settings.home.parent / "a file"
    blocked.touch()
    monkeypatch.setenv("DAGSTER_HOME", str(blocked / "dagster"))
    with pytest.raises(ConfigurationError, match=r"^DAGSTER_HOME: .* cannot be made \(Not a directory\)$"):
        dagster_instance(instance.settings)


def test_a_file_in_dagster_home_that_cannot_be_written_is_named(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what another user left there, in a folder that this one may write."""
    home = instance.settings.home.parent / "dagster"
    (home / ".xcapi.lock").mkdir(parents=True)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    told = rf"^DAGSTER_HOME: {home}/\.xcapi\.lock cannot be used \(Is a directory\)$"
    with pytest.raises(ConfigurationError, match=told):
        dagster_instance(instance.settings)


def test_a_dagster_yaml_that_cannot_be_used_is_named(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its folder; Dagster's own words may hold what is in it."""
    home = instance.settings.home.parent / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("storage: {postgres: secret-word")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with pytest.raises(ConfigurationError, match=rf"^DAGSTER_HOME: .* in {home} \(ParserError\): correct its dagster"):
        dagster_instance(instance.settings)


def test_a_setting_with_a_typing_error_is_named(xcapi: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that is not read would be another policy; variables of other programs are nobody's business."""
    monkeypatch.setenv("XCAPI_ON_UNKOWN", "hold")
    monkeypatch.setenv("XCAPI_SOMETHING_ELSE", "1")
    told = xcapi("ledger", "status").stderr.splitlines(keepends=True)
    assert "SOMETHING_ELSE" not in "".join(told)
    assert told[0] == "xcapi: XCAPI_ON_UNKOWN is no setting and is not read: did you mean XCAPI_ON_UNKNOWN?\n"


@pytest.mark.usefixtures("instance")
def test_a_typing_error_is_named_in_a_module_and_behind_a_prefix(
    xcapi: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance's pixel that is not read would be that of another."""
    monkeypatch.setenv("EU_X_ADS_PIXLE_ID", "o11aa")
    for name in ("EU_X_ADS_EVENT_ID", "EU_XCAPI_HOME_OF_OTHERS", "NOX_ADS_PIXLE_ID"):
        monkeypatch.setenv(name, "o22bb")
    for chosen in ((), ("-m", "dagster_project.definitions")):
        told = xcapi("ledger", "status", *chosen).stderr.splitlines()
        assert [line for line in told if "is no setting" in line] == [
            "xcapi: EU_X_ADS_PIXLE_ID is no setting and is not read: did you mean EU_X_ADS_PIXEL_ID?"
        ]


@pytest.mark.parametrize(
    ("command", "variable", "before"),
    [
        (("status",), "XCAPI_OUTPUT_URL", ""),
        (("status",), "XCAPI_LEDGER_URL", "sqlite:///"),
        (("explain", "A-1"), "XCAPI_LEDGER_URL", "sqlite:///"),
        (("status",), "XCAPI_WAREHOUSE_URL", "duckdb:///"),
        (("status",), "XCAPI_WAREHOUSE_URL", "sqlite:///"),
    ],
)
@pytest.mark.usefixtures("environ")
def test_a_path_that_cannot_even_be_looked_at_is_named(
    xcapi: Xcapi, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], variable: str, before: str
) -> None:
    """As one below a folder that this user may not enter: a name that is too long is refused to everybody alike."""
    monkeypatch.setenv(variable, f"{before}/srv/{'x' * 300}/file")
    done = xcapi(*command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"xcapi: {variable}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["doctor", "status"])
@pytest.mark.parametrize("home", ["/proc/nowhere", f"/srv/{'x' * 300}"])
def test_a_demo_without_a_folder_says_so(
    xcapi: Xcapi, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, command: str, home: str
) -> None:
    """Nothing is configured but where it should be."""
    for variable in environ:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XCAPI_HOME", home)
    done = xcapi(command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("xcapi: XCAPI_HOME names a folder that cannot be")


def test_what_a_terminal_cannot_show_is_replaced(tmp_path: Path) -> None:
    """Where it is not of UTF-8, as on older systems, and in what Windows writes to a file."""
    command = [sys.executable, "-m", "xcapi_dagster.cli", "doctor"]
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONIOENCODING": "ascii", "X_ADS_PIXEL_ID": "odemo1"}
    done = subprocess.run(command, env=whole, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert "? set or correct what is named" in " ".join(done.stdout.split())
