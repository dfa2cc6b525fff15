"""What the sandbox tells of accounts, to whom; the conformance tests have X's own examples."""

from typing import Any

import pytest
from requests_oauthlib import OAuth1

# X's page "Accounts"
FIELDS = {
    "name", "business_name", "timezone", "timezone_switch_at", "id", "created_at", "updated_at", "industry_type",
    "business_id", "approval_status", "deleted",
}  # fmt: skip


def test_one_account(client: Any) -> None:
    """The fields of X's page, for an account on which the user has a role."""
    answer = client.post(None, method="GET", path="/12/accounts/18ce552mlaq")
    assert answer.status_code == 200
    assert answer.json()["data"].keys() == FIELDS
    assert answer.json()["data"]["id"] == "18ce552mlaq"


@pytest.mark.parametrize("path", ["/12/accounts/18ce552mlaq", "/12/accounts/18ce552mlaq/authenticated_user_access"])
def test_a_user_without_a_role_learns_nothing(client: Any, path: str) -> None:
    """X documents the message for conversions; that it is the same here is a guess."""
    auth = OAuth1("key", "key-secret", "stranger", "stranger-secret")
    assert client.post(None, method="GET", path=path, auth=auth).status_code == 401
    auth = OAuth1("key", "key-secret", "analyst", "analyst-secret")
    assert (
        client.post(None, method="GET", path=path.replace("18ce552mlaq", "18ce55gze09"), auth=auth).status_code == 404
    )


@pytest.mark.parametrize("path", ["/12/accounts", "/12/accounts/18ce552mlaq"])
def test_a_pixel_token_and_an_app_without_access_ask_nothing(client: Any, path: str) -> None:
    """A guess for the token, X's documented refusal for the app."""
    headers = {"X-Pixel-Token": "token-of-oka17"}
    assert client.post(None, method="GET", path=path, auth=None, headers=headers).status_code == 403
    auth = OAuth1("no-access", "no-access-secret", "token", "token-secret")
    answer = client.post(None, method="GET", path=path, auth=auth)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "UNAUTHORIZED_CLIENT_APPLICATION")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_accounts_are_only_read(client: Any, method: str) -> None:
    """X's other calls are no business of conversions."""
    assert client.post({}, method=method, path="/12/accounts").status_code == 405
