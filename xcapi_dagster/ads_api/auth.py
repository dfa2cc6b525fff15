"""Signing in to X: OAuth 1.0a or the pixel token, behind one method, never showing a secret."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn, Protocol

from xcapi_dagster.ads_api.oauth1 import authorization
from xcapi_dagster.contract import PIXEL_TOKEN_HEADER
from xcapi_dagster.errors import ConfigurationError

_VISIBLE_ASCII = re.compile(r"[!-~]+")
_ACCESS_TOKEN = re.compile(r"[0-9]{2,20}-[A-Za-z0-9]{20,60}")  # X's begin with the user's id


class Credentials(Protocol):
    """What signs requests."""

    def headers(self, method: str, url: str, now: float) -> dict[str, str]:
        """The headers that sign one request without a form, at ``now`` in Unix seconds."""


class _Secrets:
    """Values that show as asterisks wherever they are printed, and that no pickle carries away."""

    __slots__ = ()

    def __repr__(self) -> str:
        names = getattr(self, "__dataclass_fields__", ())
        return f"{type(self).__name__}({', '.join(f'{name}=****' for name in names)})"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("credentials are not pickled or copied: make them anew from the settings")

    def _check(self) -> None:
        """Raise ConfigurationError, naming the variable and not the value, for what fits in no header."""
        for name in getattr(self, "__dataclass_fields__", ()):
            if not _VISIBLE_ASCII.fullmatch(getattr(self, name)):
                variable = f"X_ADS_{'PIXEL_TOKEN' if name == 'token' else name.upper()}"
                raise ConfigurationError(f"{variable} is empty or holds white space or a character that no key has")


@dataclass(frozen=True, slots=True, repr=False)
class OAuth1(_Secrets):
    """The four values of OAuth 1.0a user context: the app's, then the user's."""

    consumer_key: str
    consumer_secret: str
    access_token: str
    access_token_secret: str

    def __post_init__(self) -> None:
        self._check()

    def headers(self, method: str, url: str, now: float, *, nonce: str | None = None) -> dict[str, str]:
        """The `Authorization` of one request.

        ``now``, in Unix seconds, is the signature's timestamp; sign each attempt anew, because X takes a repeated nonce
        for a repeated request.
        """
        app, user = (self.consumer_key, self.consumer_secret), (self.access_token, self.access_token_secret)
        return {"Authorization": authorization(method, url, now, app, user, nonce=nonce)}


@dataclass(frozen=True, slots=True, repr=False)
class AppKeys(_Secrets):
    """The app's own two values of OAuth 1.0a, while it has no user yet."""

    consumer_key: str
    consumer_secret: str

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True, slots=True, repr=False)
class PixelToken(_Secrets):
    """The token that Events Manager generates for one pixel."""

    token: str

    def __post_init__(self) -> None:
        self._check()

    def headers(self, method: str, url: str, now: float) -> dict[str, str]:  # noqa: ARG002 what OAuth 1.0a needs
        """The token's own header."""
        return {PIXEL_TOKEN_HEADER: self.token}


def pixel_token_doubt(token: str, oauth: Collection[str]) -> str | None:
    """What a pixel token is by its looks, when that is something else; ``oauth`` are the values of OAuth 1.0a.

    X tells nothing about a pixel token before it is used, so no more can be known without sending.
    """
    if token in oauth:
        return "it is one of the values of OAuth 1.0a"
    if _ACCESS_TOKEN.fullmatch(token):
        return "it looks like an access token of OAuth 1.0a"
    return None
