"""What to mend, and who must do it, when X refuses something that is not about rows. One line each, in our words."""

from collections.abc import Iterable, Mapping

from xcapi_dagster.ads_api.api_errors import ApiError

_SIGN_IN = (
    "X does not accept the credentials: set X_ADS_CONSUMER_KEY, X_ADS_CONSUMER_SECRET, X_ADS_ACCESS_TOKEN and "
    "X_ADS_ACCESS_TOKEN_SECRET, or X_ADS_PIXEL_TOKEN, to what the X developer portal or Events Manager shows"
)
_EXPIRED = (
    "the access token was revoked or has expired: generate a new one in the X developer portal and set "
    "X_ADS_ACCESS_TOKEN and X_ADS_ACCESS_TOKEN_SECRET"
)
_APP_WITHOUT_ACCESS = (
    "the app of X_ADS_CONSUMER_KEY has no access to the Ads API: its owner must ask X for it and then generate a new "
    "access token, because an older one keeps the old access"
)
_APP_READS_ONLY = (
    "the app of X_ADS_CONSUMER_KEY may only read: its owner must set it to read and write in the X developer portal "
    "and then generate a new access token"
)
_USER_LOCKED = "X has locked or suspended the user of X_ADS_ACCESS_TOKEN: that user must sign in at x.com and clear it"
_NO_PERMISSION = (
    "X denies access: an administrator of the ads account must make the user of X_ADS_ACCESS_TOKEN an ad manager or "
    "account administrator; with X_ADS_PIXEL_TOKEN, the token must be one of the pixel X_ADS_PIXEL_ID"
)
_USER_WITHOUT_ROLE = (
    "the user of X_ADS_ACCESS_TOKEN has no role on the ads account of this pixel: an administrator of that account "
    "must make the user an ad manager or account administrator, or X_ADS_PIXEL_ID is another account's"
)
_NO_ACCOUNT = "X does not know the ads account: correct X_ADS_ACCOUNT_ID or X_ADS_PIXEL_ID"
_NO_ROUTE = "X finds no such pixel or address: correct X_ADS_PIXEL_ID, X_ADS_API_URL or X_ADS_API_VERSION"
_NO_VERSION = "X no longer serves this version of its API: upgrade xcapi-dagster, or correct X_ADS_API_VERSION"
_REDIRECT = (
    "X_ADS_API_URL answers with a redirect, which is never followed: set X_ADS_API_URL to the API itself, "
    "https://ads-api.x.com"
)
_PROXY = "the proxy wants credentials: correct HTTPS_PROXY"
_DEFECT = "X could not read the request, which is a defect of xcapi-dagster: upgrade it, or report this line"

_OF_MESSAGE: Mapping[str, str] = {
    "expired_token": _EXPIRED,
    "application_without_access": _APP_WITHOUT_ACCESS,
    "user_without_access": _USER_WITHOUT_ROLE,
    "account_not_found": _NO_ACCOUNT,
    "route_not_found": _NO_ROUTE,
    "version_not_available": _NO_VERSION,
}
_OF_CODE: Mapping[str, str] = {
    "89": _EXPIRED,
    "UNAUTHORIZED_CLIENT_APPLICATION": _APP_WITHOUT_ACCESS,
    "READONLY_CLIENT_APPLICATION": _APP_READS_ONLY,
    "261": _APP_READS_ONLY,
    **dict.fromkeys(("ACCOUNT_LOCKED_OUT", "CURRENT_USER_SUSPENDED", "63", "64", "326"), _USER_LOCKED),
    **dict.fromkeys(("220", "ACTION_NOT_ALLOWED", "FEATURE_NOT_AVAILABLE"), _NO_PERMISSION),
    **dict.fromkeys(("32", "99", "215", "UNAUTHORIZED_ACCESS", "USER_NOT_FOUND"), _SIGN_IN),
    "ACCOUNT_NOT_FOUND": _NO_ACCOUNT,
    "ROUTE_NOT_FOUND": _NO_ROUTE,
}
_OF_STATUS: Mapping[int, str] = {400: _DEFECT, 401: _SIGN_IN, 403: _NO_PERMISSION, 404: _NO_ROUTE, 407: _PROXY}


def advice(status: int, errors: Iterable[ApiError]) -> str:
    """What to do about an answer that stops delivery; holds no value that X echoed."""
    if 300 <= status < 400:
        return f"{_REDIRECT} ({status})"
    for error in errors:
        if not error.is_about_rows:
            found = _OF_MESSAGE.get(error.message_name or "") or _OF_CODE.get(error.code or "")
            if found:
                return f"{found} ({status})"
    general = "X does not take the request: correct X_ADS_API_URL or X_ADS_API_VERSION, or upgrade xcapi-dagster"
    return f"{_OF_STATUS.get(status, general)} ({status})"
