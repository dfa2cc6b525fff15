"""Delivery of a partition: claim, POST, settle, batch by batch, until every conversion stands somewhere.

The ledger has the outcome of everything that was sent, so this module returns none: after it, as after a crash, what
became of the conversions is looked up.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import numpy as np

from xcapi_dagster.ads_api.responses import Answer
from xcapi_dagster.delivery.batch import Batch, Chunk, Positions, portions
from xcapi_dagster.delivery.breaker import Breaker
from xcapi_dagster.delivery.decide import Decision, Situation, decide
from xcapi_dagster.delivery.ledger import Claim, Ledger, Wait
from xcapi_dagster.delivery.memory import Known
from xcapi_dagster.delivery.records import Request
from xcapi_dagster.delivery.standing import SENDABLE, Policy, Standing, deadlines, standings
from xcapi_dagster.errors import DeliveryHaltedError

_BATCHES_WAITING_PER_SENDER = 2  # rendered ahead, so that no sender waits for the next body
_LONGEST_SLEEP_SECONDS = 30.0  # between looks at the limit, so that a stop is noticed


def _nothing(*_conversions: int) -> None: ...


class Client(Protocol):
    """What delivery needs of the HTTP edge."""

    def post_conversions(self, body: bytes, *, request_id: str, sent: int) -> Answer:
        """Send one request and say how it was answered; never raises because of the network."""

    def correct_clock(self, seconds: float) -> None:
        """Sign later requests as if this machine's clock were so much later."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How one run may send: the policy, the account's default event, and how much of what."""

    policy: Policy
    default_event_id: str
    senders: int = 4
    share: float = 1.0  # of the account's limit
    patience: float = 1800.0  # the longest wait for the limit, in seconds
    most_rejected: float = 0.2  # of the conversions, once 500 were tried: more is a mapping mistake, not bad rows
    most_silences: int = 3  # batches in a row without any answer


class Delivery:
    """Sends conversions through ``client`` under ``terms``, recording everything in ``ledger``, which must be entered.

    ``sleep``, ``jitter`` and ``failpoint`` (called with the name of each moment at which a process may die) are
    parameters, as is all that takes time.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: Client,
        terms: Terms,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        failpoint: Callable[[str], None] = lambda _moment: None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._terms = terms
        self._sleep = sleep
        self._jitter = jitter
        self._failpoint = failpoint
        self._lock = threading.Lock()
        self._breaker = Breaker(terms.most_rejected, terms.most_silences)
        self._clock_was_corrected = False
        self._sent: Callable[[int], None] = _nothing
        self._before_sending: Callable[[], None] = _nothing
        self.halted: str | None = None

    def deliver(
        self,
        partition: str,
        chunks: Iterable[Chunk],
        sent: Callable[[int], None] = _nothing,
        before_sending: Callable[[], None] = _nothing,
    ) -> None:
        """Send what of ``chunks`` may be sent. Afterwards ``halted`` says why this run sends no more, if so.

        ``sent`` is called by the senders with how many conversions X took or refused, once that is settled: with 0 for
        parts of what it had refused. ``before_sending`` is called before any of a chunk is sent, if some is to be.
        Raises LedgerError when the ledger fails; whatever was in flight then is unknown to the next run.
        """
        self._sent, self._before_sending = sent, before_sending
        room = threading.Semaphore(self._terms.senders * (1 + _BATCHES_WAITING_PER_SENDER))
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(self._terms.senders, thread_name_prefix="xcapi-sender") as pool:
            try:
                for batch in chain.from_iterable(map(self._batches, chunks)):  # which holds no chunk but the current
                    room.acquire()
                    if self.halted:
                        break
                    future = pool.submit(self._send, partition, batch)
                    future.add_done_callback(lambda _: room.release())
                    running = self._collect(running) | {future}
                wait(running)
            except BaseException:
                self._halt("this run was interrupted")  # the senders end what is in flight and begin nothing more
                raise
        self._collect(running)

    def _collect(self, running: set[Future[None]]) -> set[Future[None]]:
        """Those still running; what went wrong in one that ended is raised here, in the run's own thread."""
        ended = {future for future in running if future.done()}
        for future in ended:
            future.result()
        return running - ended

    def _batches(self, chunk: Chunk) -> Iterator[Batch]:
        """What of ``chunk`` may be sent now."""
        memory, now = self._ledger.memory, self._ledger.refresh()
        found = standings(memory, chunk.keys, chunk.fingerprints, chunk.times, self._terms.policy, now)
        if np.isin(found.standing, SENDABLE).any():
            self._before_sending()
        for portion in portions(chunk, found, self._ledger.largest_batch(self._terms.share)):
            last = memory.requests.get(portion.request_id)
            parent = None if last is None or last.state == "lost" else last  # X never had what was lost
            is_released = parent is not None and parent.state == "resend"
            is_grouped = portion.standing == Standing.GROUPED
            for batch in portion.batches:
                since = _suspected_since(found.known, portion.positions[batch.positions]) if is_grouped else 0
                yield replace(batch, parent=parent, may_be_late=is_released, suspected_since=since)

    def _send(self, partition: str, batch: Batch) -> None:
        """One batch to its end; what goes wrong on the way stops all senders."""
        try:
            self._send_all(partition, [batch])
        except DeliveryHaltedError as error:
            self._halt(str(error))
        except BaseException as error:
            self._halt(f"this run failed ({type(error).__name__})")
            raise

    def _send_all(self, partition: str, todo: list[Batch]) -> None:
        """Each batch, and what comes of it: accepted, rejected row by row, unknown, held, or back to pending."""
        while todo and not self.halted:
            batch = todo.pop()
            claim = self._claim(partition, batch)
            if claim is None or claim.request is None:
                continue
            decision = self._post(batch.at(claim.kept), claim.request, others_wait=bool(todo))
            todo += reversed(decision.batches)
            todo[:0] = decision.afterwards
            if decision.pause and not self.halted:
                self._sleep(decision.pause)

    def _claim(self, partition: str, batch: Batch) -> Claim | None:
        """Leave to send ``batch``, waiting for the limit; None when this run sends no more."""
        while not self.halted:
            leave = self._ledger.claim(
                partition,
                batch.keys,
                batch.fingerprints,
                batch.known,
                parent=batch.parent,
                share=self._terms.share,
                moment=batch.moment,
                until=deadlines(batch.times, self._terms.policy),
                may_be_late=batch.may_be_late,
            )
            if not isinstance(leave, Wait):
                return leave
            if leave.seconds > self._terms.patience:
                self._halt(f"the account's limit is used up for another {leave.seconds:.0f} s: run again after that")
            else:
                self._sleep(min(leave.seconds, _LONGEST_SLEEP_SECONDS))
        return None

    def _post(self, batch: Batch, request: Request, *, others_wait: bool) -> Decision:
        """The claimed ``request`` for ``batch``, sent and settled."""
        self._failpoint("after_claim")
        clock_was_corrected = self._clock_was_corrected
        answer = self._answer(batch, request)
        self._failpoint("after_post")
        situation = Situation(
            policy=self._terms.policy,
            default_event_id=self._terms.default_event_id,
            now=self._ledger.now(),
            jitter=self._jitter,
            patience=self._terms.patience,
            clock_was_corrected=clock_was_corrected,
            others_wait=others_wait,
            last_accepted=self._ledger.memory.last_accepted,
        )
        decision = decide(batch, request, answer, situation)
        self._ledger.settle(request, batch.keys, batch.fingerprints, decision.settlement)
        self._failpoint("after_settle")
        self._heed(decision, 0 if batch.refused_since else len(batch))
        return decision

    def _answer(self, batch: Batch, request: Request) -> Answer:
        """X's answer, or why this process must not ask for it any more."""
        try:
            self._ledger.check_lease()
        except DeliveryHaltedError as error:
            return Answer("halted", reason=str(error))
        return self._client.post_conversions(batch.body(), request_id=str(request.id), sent=len(batch))

    def _heed(self, decision: Decision, tried: int) -> None:
        """Stop the run when the answer, or all answers together, say that something is wrong beyond single rows."""
        if decision.clock_offset is not None:
            with self._lock:
                if not self._clock_was_corrected:
                    self._client.correct_clock(decision.clock_offset)
                    self._clock_was_corrected = True  # in this order: who reads it signs with the right clock
        if decision.settlement.state in ("accepted", "refused"):
            self._sent(tried)
        everything = self._breaker.note(decision.settlement, tried, gave_up=decision.gave_up)
        if reason := decision.halt or everything:
            self._halt(reason)

    def _halt(self, reason: str) -> None:
        with self._lock:
            self.halted = self.halted or reason


def _suspected_since(known: Known, positions: Positions) -> int:
    """The latest request since which one of these conversions is suspected, 0 when none is."""
    rulings = [known.verdicts.get(position) for position in positions.tolist()] if known.verdicts else []
    return max((ruling.since for ruling in rulings if ruling and ruling.state == "suspected"), default=0)
