"""What X tells of ads accounts, and of the user who asks: X's page "Accounts". Names and times are made up."""

from xcapi_dagster import contract
from xcapi_dagster.sandbox.access import Sender, asking_user, authorize_account
from xcapi_dagster.sandbox.answers import Answer, Error, failure, of_status, to_json
from xcapi_dagster.sandbox.limits import Limits, Meter
from xcapi_dagster.sandbox.world import Account, World

# of one user, questions that name no account
_READS = Limits(contract.USER_READS, contract.RATE_WINDOW_SECONDS, contract.USER_READS, contract.RATE_WINDOW_SECONDS)


class Accounts:
    """Answers questions about accounts to users who may ask."""

    def __init__(self) -> None:
        self._reads = Meter(_READS)

    def answer(
        self, sender: Sender, account_id: str | None, world: World, now: float, *, asks_for_access: bool
    ) -> Answer:
        """One account, or the sender's roles on it; without an ``account_id`` all that the sender has a role on."""
        user = asking_user(sender)
        if isinstance(user, Error):
            return failure(user)
        if account_id is None:
            return self._all(world, user.user_id, now)
        account = authorize_account(user, account_id, world, is_change=False)
        if isinstance(account, Error):
            return failure(account)
        roles = sorted(world.roles_of(user.user_id, account_id))
        return _about(account, {"user_id": user.user_id, "permissions": roles} if asks_for_access else _shown(account))

    def _all(self, world: World, user_id: str, now: float) -> Answer:
        quota = self._reads.take(user_id, 1, now)
        headers = _READS.headers(quota)
        if not quota.is_granted:
            return failure(of_status(429), headers=headers)
        known = [_shown(each) for each in world.accounts if world.roles_of(user_id, each.account_id)]
        return Answer(200, to_json({"request": {"params": {}}, "next_cursor": None, "data": known}), headers=headers)


def _about(account: Account, data: dict[str, object]) -> Answer:
    return Answer(200, to_json({"data": data, "request": {"params": {"account_id": account.account_id}}}))


def _shown(account: Account) -> dict[str, object]:
    return {
        "name": f"Account {account.account_id}",
        "business_name": None,
        "timezone": "UTC",
        "timezone_switch_at": "2022-02-18T00:00:00Z",
        "id": account.account_id,
        "created_at": "2022-02-18T00:00:00Z",
        "updated_at": "2022-02-18T00:00:00Z",
        "industry_type": None,
        "business_id": None,
        "approval_status": "ACCEPTED",
        "deleted": False,
    }
