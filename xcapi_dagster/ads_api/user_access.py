"""Who is signed in, and what they may do on the ads account."""

import re
from dataclasses import dataclass

from xcapi_dagster import contract
from xcapi_dagster.ads_api.account import AdsAccount
from xcapi_dagster.errors import AdsApiError

_USER_ID = re.compile(r"[0-9]{1,30}")
_PERMISSION = re.compile(r"[A-Z_]{1,60}")


@dataclass(frozen=True, slots=True)
class UserAccess:
    """The user of the access token, and the user's roles on an ads account, as X names them."""

    account_id: str
    user_id: str
    permissions: tuple[str, ...]

    @property
    def may_send(self) -> bool:
        """Whether the roles suffice for conversions and for changes of event tags."""
        return not contract.ROLES_THAT_MAY_SEND.isdisjoint(self.permissions)


def user_access(account: AdsAccount) -> UserAccess:
    """What X says about the user of the access token. Raises what `AdsAccount` raises."""
    path = contract.USER_ACCESS_PATH.format(version=account.api_version, account_id=account.account_id)
    data = account.read(path, {}, lambda _: None).get("data")
    user_id = data.get("user_id") if isinstance(data, dict) else None
    permissions = data.get("permissions") if isinstance(data, dict) else None
    if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id) or not isinstance(permissions, list):
        raise AdsApiError("X's answer does not say who is signed in: does X_ADS_API_URL lead to the API?")
    known = tuple(each for each in permissions if isinstance(each, str) and _PERMISSION.fullmatch(each))
    return UserAccess(account.account_id, user_id, known)
