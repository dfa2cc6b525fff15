"""Folders and object stores by URL: what serves them, and what went wrong there in words that hold no secret."""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from fsspec.core import strip_protocol
from upath import UPath

from xcapi_dagster.errors import ConfigurationError


class _Driver(NamedTuple):
    extra: str  # of this package
    module: str  # that it installs


_S3, _GCS, _AZURE = _Driver("s3", "s3fs"), _Driver("gcs", "gcsfs"), _Driver("azure", "adlfs")
OBJECT_STORES: Final[Mapping[str, _Driver]] = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
}
NO_SECRETS: Final = (
    "credentials belong where the store's own library looks for them, as AWS_ACCESS_KEY_ID, a profile or a role"
)
# Azure's own form of CONTAINER@ACCOUNT, the only @ before a path that is no user's
_AZURE_HOST: Final = re.compile(r"[a-z0-9$-]+@[a-z0-9]+\.(?:dfs|blob)\.core\.[a-z.]+")
# Whose errors are a store's; what is an OSError as well is known by that.
_PACKAGES: Final = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure"})


def path_of(url: str, variable: str) -> UPath:
    """The folder or object that ``url`` names; nothing is connected to.

    Raises ConfigurationError, naming ``variable``, for a URL of no known kind, without a bucket, of a store whose
    driver is not installed, or with what may be credentials, which errors would show.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in OBJECT_STORES:
        return _folder(url, variable)
    if not rest.partition("/")[0]:
        raise ConfigurationError(f"{variable} names no bucket: write {scheme}://BUCKET/PATH")
    if _may_hold_secrets(rest):
        raise ConfigurationError(f"{variable} must be {scheme}://BUCKET/PATH and nothing more; {NO_SECRETS}")
    driver = OBJECT_STORES[scheme]
    if find_spec(driver.module) is None:
        raise ConfigurationError(
            f"{variable} is of {scheme}://, whose driver is not installed: pip install 'xcapi-dagster[{driver.extra}]'"
        )
    # Another process may have written since: a listing that is remembered would give the size of an older file.
    return UPath(url, use_listings_cache=False)


def is_object_store(path: UPath) -> bool:
    """Whether ``path`` is in an object store and not in a folder of this machine."""
    return path.protocol in OBJECT_STORES


def check_bucket(path: UPath, variable: str) -> None:
    """Raise ConfigurationError, naming ``variable``, unless the bucket of ``path`` is there and lets us in."""
    bucket = path.parts[0].strip("/")
    try:
        path.fs.info(bucket)
    except Exception as error:
        if (why := problem(error)) is None:
            raise
        raise ConfigurationError(f"{variable}: the bucket {bucket} cannot be used: {why}") from None


def problem(error: Exception) -> str | None:
    """Why a folder or a store did not do what it was asked to; None if the error is of another kind.

    A store's own words are not passed on: they may hold keys, addresses and tokens.
    """
    if isinstance(error, FileNotFoundError):
        return "there is none of this name"
    if isinstance(error, PermissionError):
        return "access is denied"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if "Credentials" in type(error).__name__:
        return "no credentials are found that it takes"
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _PACKAGES:
        return f"it does not answer as it should ({type(error).__name__})"
    return None


def _may_hold_secrets(rest: str) -> bool:
    """Whether what follows `s3://` has parameters, or user and password before the bucket."""
    host = rest.partition("/")[0]
    is_own = _AZURE_HOST.fullmatch(host) or host.startswith("arn:")
    return "?" in rest or (not is_own and ("@" in host or ":" in host))


def _folder(url: str, variable: str) -> UPath:
    """A folder of this machine. fsspec knows other places: some forget files, some cannot rename them."""
    try:
        path = UPath(strip_protocol(url) if url.startswith("file:///") else url)
    except (ValueError, ImportError):
        path = None
    if path is None or path.protocol:  # `file` after two slashes, where a path depends on where a process was started
        known = ", ".join(f"{scheme}://" for scheme in OBJECT_STORES)
        raise ConfigurationError(
            f"{variable} is neither a folder (/PATH or file:///PATH) nor an object store's URL ({known})"
        )
    if not Path(path.path).is_absolute():  # it would be another for each process that starts elsewhere
        raise ConfigurationError(f"{variable} must be an absolute path or an object store's URL")
    return path
