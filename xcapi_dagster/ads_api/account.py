"""Questions to X about one ads account, and changes of what belongs to it.

A question is asked again when that can help. A change whose answer never came is looked for before it is made again,
because X knows no idempotency key. Nothing is repeated that X refused.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from xcapi_dagster.ads_api.connection import Connection, NoReply
from xcapi_dagster.ads_api.responses import Answer, classify_call
from xcapi_dagster.contract import PIXEL_ID
from xcapi_dagster.errors import AdsApiError, ConfigurationError

logger = logging.getLogger("xcapi_dagster.ads_api")

PAUSES = (1.0, 4.0)  # seconds before the second and the third try
PATIENCE = 60.0  # seconds that X may ask to wait; for longer, it is told and left to the user

_NEVER = frozenset({501, 505})  # X will not be able to do it the next time either
_CONVERSIONS_ALONE = "; with the access level “Conversion only” it can send conversions all the same"
_SAYS_WHAT_IS_MISSING = frozenset({"user_without_access", "account_not_found", "version_not_available"})

Document = Mapping[str, Any]
Explain = Callable[[Answer], str | None]
Made = TypeVar("Made")


class AdsAccount:
    """The part of X's API below an ads account. ``connection`` must sign with OAuth 1.0a.

    Every method raises ConfigurationError, in the user's words, when X refuses: then nothing was changed. It raises
    AdsApiError when X cannot be asked or gives no usable answer. An ``explain`` may have better words for a refusal
    than the general ones, else it returns None.
    """

    def __init__(
        self,
        connection: Connection,
        api_version: str,
        account_id: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Nothing is asked yet. Raises ConfigurationError for an id that is none."""
        if not PIXEL_ID.fullmatch(account_id):
            raise ConfigurationError("X_ADS_ACCOUNT_ID is no id of X's: lower-case letters and digits")
        self.api_version = api_version
        self.account_id = account_id
        self._connection = connection
        self._sleep = sleep

    def read(self, path: str, parameters: Mapping[str, str], explain: Explain) -> Document:
        """X's answer to a GET."""
        pauses = iter(PAUSES)
        while True:
            answer, document = self._call("GET", path, parameters)
            if answer.kind == "accepted":
                return document
            self._wait(answer, next(pauses, None), explain)

    def write(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        explain: Explain,
        *,
        take: Callable[[Document], Made],
        look: Callable[[], Made | None],
    ) -> Made:
        """What a change made: ``take`` finds it in X's answer, ``look`` at X itself when no usable answer came."""
        pauses = iter(PAUSES)
        while True:
            answer, document = self._call(method, path, parameters)
            if answer.kind == "accepted":
                return take(document)
            pause = next(pauses, None)
            if answer.kind != "unknown":
                self._wait(answer, pause, explain)
                continue
            wait = self._worth_waiting(answer)
            self._sleep(max(wait or 0.0, pause or PAUSES[-1]))  # X may still be at it
            if (made := _looked_for(look, answer)) is not None:
                return made
            if wait is None or pause is None:
                raise AdsApiError(f"{answer.reason}: what was asked for is not to be seen at X, try again later")

    def _call(self, method: str, path: str, parameters: Mapping[str, str]) -> tuple[Answer, Document]:
        """One request, and what its answer means; the document is one when the answer is accepted."""
        started = time.monotonic()
        query = urlencode(parameters, quote_via=quote, safe="")  # a space is %20, as on X's pages
        reply = self._connection.exchange(method, f"{path}?{query}" if query else path)
        document: Document = {}
        if isinstance(reply, NoReply):
            answer = Answer("unknown" if reply.may_have_arrived else "not_sent", reason=reply.reason)
        else:
            answer, document = classify_call(
                reply.status,
                reply.headers,
                reply.content or b"",
                account_id=self.account_id,
                now=self._connection.clock(),
                clock_offset=reply.clock_offset,
            )
        took = round(1000 * (time.monotonic() - started))
        logger.info("%s %s: status %s (%s), %d ms", method, path, answer.status, answer.kind, took)
        return answer, document

    def _wait(self, answer: Answer, pause: float | None, explain: Explain) -> None:
        """Wait until it is worth repeating the request; raises when it is not. ``pause`` None: this was the last."""
        wait = None if pause is None else self._worth_waiting(answer)
        if wait is None or pause is None:
            raise self._error(answer, explain)
        self._sleep(max(wait, pause))

    def _worth_waiting(self, answer: Answer) -> float | None:
        """How many seconds X wants left before a repetition, None when that would end as badly."""
        if answer.kind == "clock" and answer.clock_skew is not None and not self._connection.clock_offset:
            self._connection.clock_offset = answer.clock_skew
            return 0.0
        may_pass = answer.status is None or (not 200 <= answer.status < 300 and answer.status not in _NEVER)
        if answer.kind == "throttled" or (answer.kind == "unknown" and may_pass):
            wait = answer.retry_after or self._until_reset(answer)
            return wait if wait <= PATIENCE else None
        return None

    def _until_reset(self, answer: Answer) -> float:
        """Seconds until the limit is that of a new window, as far as a refusal because of it says so."""
        if answer.kind != "throttled" or answer.rate.reset is None:
            return 0.0
        return answer.rate.reset - (answer.server_date or self._connection.clock())

    def _error(self, answer: Answer, explain: Explain) -> AdsApiError | ConfigurationError:
        if answer.kind == "throttled":
            wait = answer.retry_after or self._until_reset(answer)
            return AdsApiError(f"{answer.reason}" + (f": try again in {wait:.0f} s" if wait else ""))
        if answer.kind in ("unknown", "not_sent", "doubtful"):
            return AdsApiError(answer.reason)
        return ConfigurationError(explain(answer) or self._explained(answer))

    def _explained(self, answer: Answer) -> str:
        """A refusal in general words: the advice is about sending, and this is not."""
        names = {error.message_name for error in answer.errors}
        if any(error.code == "UNAUTHORIZED_CLIENT_APPLICATION" for error in answer.errors):
            return answer.reason + _CONVERSIONS_ALONE
        if answer.status == 404 and not names & _SAYS_WHAT_IS_MISSING:
            return (
                f"X finds no ads account {self.account_id} at this address: correct X_ADS_ACCOUNT_ID, X_ADS_API_URL or "
                "X_ADS_API_VERSION (404)"
            )
        return answer.reason


def _looked_for(look: Callable[[], Made | None], answer: Answer) -> Made | None:
    """What ``look`` finds. Raises AdsApiError when it cannot be looked for: then nobody knows what X did."""
    try:
        return look()
    except (AdsApiError, ConfigurationError) as error:
        raise AdsApiError(
            f"{answer.reason}, and X cannot be asked what it did ({error}): look before you repeat it"
        ) from None
