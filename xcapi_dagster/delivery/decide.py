"""What to do about an answer of X's: pure, one function for each kind of answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.contract import short_event_id
from xcapi_dagster.delivery import isolate
from xcapi_dagster.delivery.batch import Batch
from xcapi_dagster.delivery.isolate import Suspicion
from xcapi_dagster.delivery.records import Request, RequestState, Settlement, Verdict, VerdictState
from xcapi_dagster.delivery.standing import Policy, is_within_horizon
from xcapi_dagster.delivery.throttle import LONGEST_BLOCK_SECONDS

MAX_ATTEMPTS = 4  # one and three more, with back-off, then the next run
_LONGEST_PAUSE_SECONDS = 60.0
_FIRST_THROTTLE_SECONDS = 30.0
_THROTTLE_SPREAD_SECONDS = 15.0  # so that not all processes come back in the same instant


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an answer was met: the account's policy and default event, the time, and a source of jitter."""

    policy: Policy
    default_event_id: str
    now: float
    jitter: Callable[[], float]  # uniform in [0, 1)
    patience: float  # the longest to wait for X with one batch, in seconds
    clock_was_corrected: bool = False  # before the request was signed
    others_wait: bool = False  # parts of the same batch, to be sent after this one
    last_accepted: int = 0  # the latest request that X accepted


@dataclass(frozen=True, slots=True)
class Decision:
    """How to settle the request, what to send next and after which pause, or why to send nothing any more."""

    settlement: Settlement
    batches: Sequence[Batch] = ()
    afterwards: Sequence[Batch] = ()  # when nothing else of the batch waits
    pause: float = 0.0
    halt: str | None = None
    gave_up: bool = False
    clock_offset: float | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    batch: Batch
    request: Request
    answer: Answer
    situation: Situation

    def settle(self, state: RequestState, **more: object) -> Settlement:
        answer = self.answer
        values: dict[str, object] = {
            "http_status": answer.status,
            "debug_id": answer.debug_id,
            "message": answer.reason or None,
        }
        values |= {"requests_left": answer.rate.remaining, "resets_in": self.resets_in}
        return Settlement(state, **(values | more))  # type: ignore[arg-type]

    @property
    def resets_in(self) -> float | None:
        """Seconds until X's window resets, by X's own clock where it says the time."""
        answer = self.answer
        return None if answer.rate.reset is None else answer.rate.reset - (answer.server_date or self.situation.now)


def decide(batch: Batch, request: Request, answer: Answer, situation: Situation) -> Decision:
    """What ``answer`` to ``request``, which carried ``batch``, means."""
    return _DECISIONS[answer.kind](_Case(batch, request, answer, situation))


def _accepted(case: _Case) -> Decision:
    return Decision(case.settle("accepted"))


def _doubtful(case: _Case) -> Decision:
    return Decision(case.settle("held"), halt=f"X's answer is in doubt and is held for you: {case.answer.reason}")


def _halted(case: _Case) -> Decision:
    return Decision(case.settle("not_processed"), halt=case.answer.reason)


def _clock(case: _Case) -> Decision:
    skew = case.answer.clock_skew or 0.0
    if case.situation.clock_was_corrected or not skew:
        return Decision(case.settle("not_processed"), halt=case.answer.reason)
    return Decision(case.settle("not_processed"), [case.batch.again()], clock_offset=skew)


def _throttled(case: _Case) -> Decision:
    """Nothing was processed; all processes wait as long as X says, or longer each time that it does not say."""
    batch, jitter = case.batch, case.situation.jitter()
    asked = [seconds for seconds in (case.answer.retry_after, case.resets_in) if seconds is not None and seconds > 0]
    if asked:
        seconds = min(max(1.0, *asked), LONGEST_BLOCK_SECONDS) + _THROTTLE_SPREAD_SECONDS * jitter
    else:
        longest = min(_FIRST_THROTTLE_SECONDS * 2**batch.throttled, LONGEST_BLOCK_SECONDS)
        seconds = longest / 2 + longest / 2 * jitter
    settlement = case.settle("not_processed", blocked_for=seconds)
    again = replace(batch, throttled=batch.throttled + 1, waited=batch.waited + seconds)
    if again.waited > case.situation.patience:
        return Decision(settlement, halt=f"X asks to wait for another {seconds:.0f} s: run again after that")
    return Decision(settlement, [again])


def _not_sent(case: _Case) -> Decision:
    if case.batch.attempts + 1 >= MAX_ATTEMPTS:
        return Decision(case.settle("not_processed"), halt=f"X could not be reached: {case.answer.reason}")
    return Decision(case.settle("not_processed"), [case.batch.again()], pause=_pause(case))


def _unknown(case: _Case) -> Decision:
    """X may have processed it: sent again with the same conversion ids while the policy and the horizon allow."""
    batch, request, situation = case.batch, case.request, case.situation
    wait = case.answer.retry_after
    settlement = case.settle("unknown", blocked_for=None if wait is None else min(wait, LONGEST_BLOCK_SECONDS))
    in_time = is_within_horizon(request.first_sent_at, situation.now)
    if situation.policy.on_unknown == "hold" or not in_time or batch.attempts + 1 >= MAX_ATTEMPTS:
        return Decision(settlement, gave_up=True)
    return Decision(settlement, [batch.again().following(request)], pause=_pause(case))


def _too_large(case: _Case) -> Decision:
    if len(case.batch) > 1:
        return Decision(case.settle("not_processed"), case.batch.halves(case.request))
    return _rejected(case, {0: Suspicion("api_unrecognised", "X answers that this one event is too large", "alone")})


def _refused(case: _Case) -> Decision:
    """X names errors, not rows: nothing of the request was processed, and only the rows at fault are rejected."""
    errors, texts = case.answer.errors, case.batch.texts()
    if why := isolate.refused_event_ids(errors, texts).get(short_event_id(case.situation.default_event_id)):
        message = (
            f"X does not take the configured event ({why}): set X_ADS_EVENT_ID to a single event of X_ADS_PIXEL_ID"
        )
        return Decision(case.settle("not_processed"), halt=message)
    found = isolate.suspects(errors, texts)
    if found:
        return _rejected(case, found)
    if len(case.batch) == 1:
        return _refused_alone(case)
    if not case.batch.budget.take(2):
        return Decision(
            case.settle("refused", verdicts=_verdicts(case, _grouped(case, range(len(case.batch))), "grouped"))
        )
    return Decision(case.settle("refused"), case.batch.after_refusal(case.request).halves(case.request))


def _refused_alone(case: _Case) -> Decision:
    """In words that nobody knows, X may refuse everything for a while: what it accepts meanwhile decides.

    A row is at fault when X accepted others between two refusals of it, for which it is tried once more if need be.
    """
    batch, errors = case.batch, case.answer.errors
    lone = {0: isolate.alone(errors, "bisection" if batch.refused_since else "alone")}
    is_certain = any(error.is_about_rows for error in errors)
    if not is_certain and case.situation.others_wait and not batch.suspected_since and batch.budget.take(1):
        suspicion = case.settle("refused", verdicts=_verdicts(case, lone, "suspected"))
        return Decision(suspicion, afterwards=[batch.suspected(case.request)])
    is_certain |= case.situation.last_accepted > _since(case)
    return Decision(case.settle("refused", verdicts=_verdicts(case, lone, "rejected" if is_certain else "suspected")))


def _since(case: _Case) -> int:
    """The request with which X began to refuse the batch."""
    return case.batch.suspected_since or case.batch.refused_since or case.request.id


def _rejected(case: _Case, found: Mapping[int, Suspicion]) -> Decision:
    """The suspects are rejected; the others go out again, together."""
    others = np.setdiff1d(np.arange(len(case.batch)), np.fromiter(found, np.intp))
    verdicts = _verdicts(case, found, "rejected")
    if len(others) and not case.batch.budget.take(1):
        return Decision(case.settle("refused", verdicts=verdicts + _verdicts(case, _grouped(case, others), "grouped")))
    rest = replace(case.batch.at(others).after_refusal(case.request), parent=case.request)
    return Decision(case.settle("refused", verdicts=verdicts), [rest] if len(others) else [])


def _grouped(case: _Case, positions: Iterable[int]) -> dict[int, Suspicion]:
    """Enough was spent on this batch: what is left waits for the next run, in smaller batches."""
    return dict.fromkeys(map(int, positions), Suspicion("api_group_held", case.answer.errors[0].template, "group"))


def _verdicts(case: _Case, found: Mapping[int, Suspicion], state: VerdictState) -> list[tuple[int, Verdict]]:
    return [
        (
            position,
            Verdict(
                state=state,
                fingerprint=int(case.batch.fingerprints[position]),
                request_id=case.request.id,
                since=_since(case),
                reason_code=why.reason_code,
                detail=why.detail,
                isolated_by=why.isolated_by,
                at=case.situation.now,
            ),
        )
        for position, why in sorted(found.items())
    ]


def _pause(case: _Case) -> float:
    """Full jitter, doubling. Where X asked to wait longer, the settlement's block keeps everybody waiting."""
    longest = min(_LONGEST_PAUSE_SECONDS, 2.0**case.batch.attempts)
    return case.situation.jitter() * longest


_DECISIONS: Mapping[str, Callable[[_Case], Decision]] = {
    "accepted": _accepted,
    "refused": _refused,
    "throttled": _throttled,
    "halted": _halted,
    "clock": _clock,
    "too_large": _too_large,
    "unknown": _unknown,
    "not_sent": _not_sent,
    "doubtful": _doubtful,
}
