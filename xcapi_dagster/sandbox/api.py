"""The sandbox's API: a request in, an answer out.

The checks come in the order route, version, sender, access, rate limit, body, count, rows: a guess, no page tells
X's.
"""

import hashlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from xcapi_dagster import contract
from xcapi_dagster.sandbox.access import authenticate, authorize
from xcapi_dagster.sandbox.answers import Answer, Error, Request, documented, failure, of_status, success
from xcapi_dagster.sandbox.conversions import STRICT, Rules, check, listed, parse
from xcapi_dagster.sandbox.faults import Do, Script
from xcapi_dagster.sandbox.limits import DEFAULT_LIMITS, Limits, Meter
from xcapi_dagster.sandbox.record import Batch, HandledRequest, Record
from xcapi_dagster.sandbox.sign_in import SignIn
from xcapi_dagster.sandbox.signatures import Nonces
from xcapi_dagster.sandbox.world import DEMO_WORLD, Account, World

_ROUTE = re.compile(
    contract.CONVERSIONS_PATH.format(version=r"(?P<version>[0-9]+(?:\.[0-9]+)?)", pixel_id=r"(?P<pixel_id>[^/]+)")
)


@dataclass(frozen=True, slots=True)
class Behavior:
    """What the sandbox knows and how strict it is. ``seed`` decides the debug ids."""

    world: World = DEMO_WORLD
    rules: Rules = STRICT
    limits: Limits = DEFAULT_LIMITS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A request with its number, its time (Unix seconds) and its body as JSON, None when it is none."""

    request: Request
    number: int
    time: float
    document: object


class Api:
    """Answers `POST /12/measurement/conversions/:pixel_id`, signing in, and any other request as X would.

    ``clock`` gives Unix seconds; ``wait`` waits so many seconds, for scripted delays.
    """

    def __init__(
        self, behavior: Behavior, record: Record, clock: Callable[[], float], wait: Callable[[float], object]
    ) -> None:
        self.record = record
        self.script = Script()
        self._behavior = behavior
        self._clock = clock
        self._wait = wait
        self._nonces = Nonces()
        self._meter = Meter(behavior.limits)
        self._sign_in = SignIn(behavior.world, self._nonces, behavior.seed)

    def answer(self, request: Request) -> tuple[Answer | None, int]:
        """The answer, None to close the connection without one, and how many conversions the request held."""
        arrived = _Arrived(request, self.record.next_number(), self._clock(), parse(request.body))
        do = self.script.take(arrived.number, lambda: _conversion_ids(arrived.document))
        answer = self._true_answer(arrived) if do is None else self._faulty_answer(arrived, do)
        conversions = len(listed(arrived.document))
        handled = HandledRequest(
            number=arrived.number,
            received_at=arrived.time,
            method=request.method,
            path=request.path,
            status=None if answer is None else answer.status,
            size=len(request.body),
            conversions=conversions,
            is_faulty=do is not None,
        )
        self.record.finish(handled)
        return answer, conversions

    def _faulty_answer(self, arrived: _Arrived, do: Do) -> Answer | None:
        self._wait(do.delay)
        true_answer = self._true_answer(arrived) if do.processes else None
        return None if do.drop else do.spoiled(true_answer)

    def _true_answer(self, arrived: _Arrived) -> Answer:
        return self._sign_in.answer(arrived.request, arrived.time) or self._answer_of_api(arrived)

    def _answer_of_api(self, arrived: _Arrived) -> Answer:
        route = _ROUTE.fullmatch(arrived.request.path)
        if route is None:
            return failure(documented("route_not_found"))
        if route["version"] != contract.API_VERSION:
            return failure(documented("version_not_available", value=route["version"]))
        if arrived.request.method != "POST":
            return failure(of_status(405))
        world = self._sign_in.world
        sender = authenticate(arrived.request, world, self._nonces, arrived.time)
        if isinstance(sender, Error):
            return failure(sender)
        account = authorize(sender, route["pixel_id"], world)
        if isinstance(account, Error):
            return failure(account)
        return self._answer_within_limits(arrived, account, route["pixel_id"])

    def _answer_within_limits(self, arrived: _Arrived, account: Account, pixel_id: str) -> Answer:
        account_id, conversions = account.account_id, listed(arrived.document)
        quota = self._meter.take(account_id, len(conversions), arrived.time)
        headers = self._behavior.limits.headers(quota)
        if not quota.is_granted:
            return failure(of_status(429), account_id=account_id, headers=headers)
        if not arrived.request.is_json:
            return failure(of_status(415), account_id=account_id, headers=headers)
        if errors := check(arrived.document, account, self._behavior.rules):
            return failure(*errors, account_id=account_id, headers=headers)
        self.record.accept(Batch(arrived.number, arrived.time, account_id, pixel_id, conversions))
        return success(account_id, len(conversions), self._debug_id(arrived.number), headers)

    def _debug_id(self, number: int) -> str:
        digest = hashlib.blake2b(f"{self._behavior.seed}/{number}".encode(), digest_size=16).digest()
        return str(uuid.UUID(bytes=digest, version=4))


def _conversion_ids(document: object) -> set[str]:
    return {
        row["conversion_id"]
        for row in listed(document)
        if isinstance(row, dict) and isinstance(row.get("conversion_id"), str)
    }
