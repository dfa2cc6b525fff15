"""The kept access token: read by its owner alone, and a source of settings after the environment."""

import json
import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from xcapi_dagster import token_file
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.settings import Settings, from_environment
from xcapi_dagster.token_file import StoredToken, read_token, write_token

CANARY = "canary-secret-7f3a"
TOKEN = StoredToken("key", f"{CANARY}-1", "2417045708-token", f"{CANARY}-2", "2417045708", "xapi")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A whole configuration but for the credentials."""
    return {
        "XCAPI_HOME": str(tmp_path / "home"),
        "XCAPI_WAREHOUSE_URL": "duckdb:////srv/shop.duckdb",
        "XCAPI_PIXEL_ALSO_FIRES": "true",
        "X_ADS_ACCOUNT_ID": "18ce552mlaq",
        "X_ADS_PIXEL_ID": "oka17",
        "X_ADS_EVENT_ID": "ol288",
    }


def four(settings: Settings) -> list[str | None]:
    """The OAuth values that the settings hold."""
    names = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
    values = [getattr(settings, name) for name in names]
    return [None if value is None else value.get_secret_value() for value in values]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_reads_it(tmp_path: Path, umask: int) -> None:
    """Mode 0600 in a folder of 0700, whatever the umask, and nothing else is left in the folder."""
    before = os.umask(umask)
    try:
        path = write_token(tmp_path / "home", TOKEN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names
    assert read_token(tmp_path / "home") == TOKEN


def test_a_system_without_modes_is_not_asked_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows says 0666 of every file that can be written."""
    write_token(tmp_path, TOKEN).chmod(0o666)
    monkeypatch.setattr(token_file, "_HAS_MODES", False)
    assert read_token(tmp_path) == TOKEN


def test_a_new_one_takes_the_old_one_s_place(tmp_path: Path) -> None:
    """Even where the old one may be read by others."""
    write_token(tmp_path, TOKEN).chmod(0o644)
    path = write_token(tmp_path, replace(TOKEN, access_token="new"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_token(tmp_path) == replace(TOKEN, access_token="new")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o602, 0o660, 0o610])
def test_a_file_for_others_is_refused(tmp_path: Path, environ: dict[str, str], mode: int) -> None:
    """Any right of group or others: the settings say which file and what to do, and not what is in it."""
    write_token(tmp_path / "home", TOKEN).chmod(mode)
    with pytest.raises(ConfigurationError, match="may be read by others") as refused:
        from_environment(environ)
    assert str(tmp_path / "home") in str(refused.value)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b"{}", b'{"consumer_key": 1}', json.dumps(asdict(TOKEN) | {"more": "x"}).encode()],
)
def test_a_damaged_file_is_named(tmp_path: Path, environ: dict[str, str], content: bytes) -> None:
    """One line that says what to do."""
    path = write_token(tmp_path / "home", TOKEN)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is damaged"):
        from_environment(environ)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where the home folder should be."""
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigurationError, match="XCAPI_HOME"):
        write_token(tmp_path / "home", TOKEN)
    assert read_token(tmp_path / "home") is None


def test_the_kept_token_signs(tmp_path: Path, environ: dict[str, str]) -> None:
    """Without any credentials in the environment they are the kept ones, and are not shown."""
    write_token(tmp_path / "home", TOKEN)
    settings = from_environment(environ)
    assert four(settings) == ["key", f"{CANARY}-1", "2417045708-token", f"{CANARY}-2"]
    assert CANARY not in repr(settings)
    assert CANARY not in repr(TOKEN)


def test_the_environment_goes_first(tmp_path: Path, environ: dict[str, str]) -> None:
    """Its access token is used with its own secret, and a rotated consumer secret with the kept token."""
    write_token(tmp_path / "home", TOKEN)
    own = {
        "X_ADS_CONSUMER_KEY": "other",
        "X_ADS_CONSUMER_SECRET": "other-secret",
        "X_ADS_ACCESS_TOKEN": "other-token",
        "X_ADS_ACCESS_TOKEN_SECRET": "other-token-secret",
    }
    assert four(from_environment(environ | own)) == list(own.values())
    rotated = {"X_ADS_CONSUMER_KEY": "key", "X_ADS_CONSUMER_SECRET": "rotated"}
    assert four(from_environment(environ | rotated))[1:3] == ["rotated", "2417045708-token"]


def test_a_pixel_token_with_a_prefix_goes_before_the_kept_token(tmp_path: Path, environ: dict[str, str]) -> None:
    """It is that of another ads account, where the user who signed in may have no role."""
    write_token(tmp_path / "home", TOKEN)
    assert four(from_environment(environ | {"EU_X_ADS_PIXEL_TOKEN": "eu-token"}, prefix="EU")) == [None] * 4
    others = {"X_ADS_PIXEL_TOKEN": "token", "EU_X_ADS_PIXEL_ID": "o11aa"}
    assert four(from_environment(environ | others, prefix="EU"))[2] == "2417045708-token"


@pytest.mark.parametrize("name", ["X_ADS_ACCESS_TOKEN", "X_ADS_ACCESS_TOKEN_SECRET"])
def test_halves_are_not_joined(tmp_path: Path, environ: dict[str, str], name: str) -> None:
    """A token of the environment and a secret of the file belong to different sign-ins."""
    write_token(tmp_path / "home", TOKEN)
    with pytest.raises(ConfigurationError, match="credentials are incomplete"):
        from_environment(environ | {name: "half"})


def test_another_app_s_token_is_not_used(tmp_path: Path, environ: dict[str, str]) -> None:
    """X would refuse it; the message says why."""
    write_token(tmp_path / "home", TOKEN)
    with pytest.raises(ConfigurationError, match="another app than X_ADS_CONSUMER_KEY"):
        from_environment(environ | {"X_ADS_CONSUMER_KEY": "other", "X_ADS_CONSUMER_SECRET": "other-secret"})


def test_the_demo_signs_in_nobody(tmp_path: Path) -> None:
    """With nothing configured, a kept token in the home folder changes nothing."""
    write_token(tmp_path, TOKEN)
    assert four(from_environment({"XCAPI_HOME": str(tmp_path)})) == [None, None, None, None]
