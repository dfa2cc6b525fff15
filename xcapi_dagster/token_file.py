"""The access token that `xcapi auth login` keeps: a file of the home folder that nobody but its owner may read."""

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from xcapi_dagster.errors import ConfigurationError

_FILE_NAME = "access-token.json"
_HAS_MODES = os.name == "posix"  # Windows says of every file that all may read it, and keeps who may elsewhere
_ANEW = "delete it, or set X_ADS_CONSUMER_KEY and X_ADS_CONSUMER_SECRET and sign in anew with `xcapi auth login`"


@dataclass(frozen=True, slots=True, repr=False)
class StoredToken:
    """The four values of OAuth 1.0a, and whose token it is."""

    consumer_key: str
    consumer_secret: str
    access_token: str
    access_token_secret: str
    user_id: str
    screen_name: str


def token_path(home: Path) -> Path:
    """Where the token of this home folder is kept."""
    return home / _FILE_NAME


def write_token(home: Path, token: StoredToken) -> Path:
    """Keep ``token`` in place of any other, whole or not at all. Raises ConfigurationError where that fails."""
    path = token_path(home)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(unfinished, "x", encoding="utf-8", opener=_open_private) as file:
            json.dump(asdict(token), file, indent=2)
        unfinished.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{path} cannot be written ({reason}): check XCAPI_HOME") from None
    finally:
        with suppress(OSError):  # a folder that cannot be written holds no such file either
            unfinished.unlink(missing_ok=True)
    return path


def read_token(home: Path) -> StoredToken | None:
    """The token that is kept, if one is. Raises ConfigurationError when others may read the file, or it is damaged."""
    path = token_path(home)
    try:
        with path.open(encoding="utf-8") as file:
            if _HAS_MODES and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(
                    f"{path} may be read by others: they may have the token, so revoke it; {_ANEW}"
                )
            return StoredToken(**_texts(json.load(file)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): check XCAPI_HOME") from None
    except (ValueError, TypeError, RecursionError):
        raise ConfigurationError(f"{path} is damaged: {_ANEW}") from None


def with_stored_token(values: Mapping[str, Any], home: Path | None) -> dict[str, Any]:
    """``values`` with the credentials that are kept in ``home``, unless they hold an access token of their own.

    What ``values`` hold goes before what is kept. Raises ConfigurationError as `read_token` does, and for a token of
    another app than the one in ``values``.
    """
    if home is None or values.keys() & {"access_token", "access_token_secret"}:
        return dict(values)
    stored = read_token(home)
    if stored is None:
        return dict(values)
    if values.get("consumer_key", stored.consumer_key) != stored.consumer_key:
        raise ConfigurationError(f"{token_path(home)} is of another app than X_ADS_CONSUMER_KEY: {_ANEW}")
    kept = asdict(stored)
    four = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
    return {name: kept[name] for name in four} | dict(values)


def _texts(document: Any) -> dict[str, str]:
    """``document`` when it is an object of texts. Raises TypeError for anything else."""
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise TypeError
    return document


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
