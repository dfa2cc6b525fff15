"""A shop beside X, and the comparison of what X received with what the shop's own files say."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tests.shop import Shop
from xcapi_dagster.partitions.upload import Uploaded
from xcapi_dagster.sandbox import HandledRequest, Sandbox

# States that X must know of, and those that it must not: of unknown and held orders nobody can say.
_AT_X = ("accepted", "changed")
_NOT_AT_X = ("pending", "rejected", "too_late")


@dataclass
class Trial:
    """A shop and the sandbox that it sends to, whose record is the judge."""

    shop: Shop
    sandbox: Sandbox

    @property
    def posts(self) -> int:
        """How many requests reached X."""
        return len(self.sandbox.requests)

    @property
    def arrived(self) -> Counter[str]:
        """How often X accepted each conversion id."""
        return Counter(str(received.conversion["conversion_id"]) for received in self.sandbox.received)

    def judge(
        self,
        uploaded: Uploaded | None = None,
        states: Mapping[str, int] | None = None,
        *,
        again: Mapping[str, int] | Collection[str] = (),
        at_most: bool = False,
        rejected: Collection[str] = (),
    ) -> None:
        """Compare what X received with the files of the partition, and the files with each other.

        X accepted each order once at most; ``again`` names those that it accepted more often, since the policy sends
        what is in doubt once more, and how much more often (or ``at_most`` so often). ``rejected`` are the orders
        that may be rejected, and must be. ``states``, when given, are the numbers of conversions in each state.
        """
        results = self.shop.rows("upload_results")
        state_of = {row["conversion_id"]: row["state"] for row in results}
        assert len(state_of) == len(results), "a conversion is in the results twice"
        self._judge_orders(results)
        self._judge_copies(state_of, Counter(again), is_exact=not at_most)
        assert {name for name, state in state_of.items() if state == "rejected"} == set(rejected)
        assert states is None or Counter(state_of.values()) == Counter(states)
        self._judge_ledger()
        if uploaded:
            self._judge_counts(uploaded, Counter(state_of.values()))

    def judge_all(self, keys: Sequence[str], states: Mapping[str, int], **terms: Any) -> None:
        """The same for each of these partitions, whose conversions are in these states each."""
        for self.shop.key in keys:
            self.judge(None, states, **terms)

    def busiest(self, seconds: float, amount: Callable[[HandledRequest], int] = lambda _: 1) -> int:
        """The most requests, or the largest sum of some amount of theirs, that X saw within any so many seconds."""
        seen = self.sandbox.requests
        return max(
            sum(amount(other) for other in seen if each.received_at - seconds < other.received_at <= each.received_at)
            for each in seen
        )

    def settles(self, *, keep: Collection[str] = ()) -> None:
        """One more run leaves nothing to do but for what is to be kept as it is; a second one does nothing at all."""
        first = self.shop.upload()
        assert first.counts.add_up
        left = {row["conversion_id"] for row in self.shop.rows("upload_results")} & self.undone
        assert left == set(keep)
        before, posts = self.shop.files(), self.posts
        again = self.shop.sync()
        assert (again.counts.requests, self.posts) == (0, posts)
        assert self.shop.files() == before

    @property
    def undone(self) -> set[str]:
        """The conversions that are not at rest, by the partition's results."""
        rows = self.shop.rows("upload_results")
        return {row["conversion_id"] for row in rows if row["state"] in ("pending", "unknown", "held")}

    def in_doubt(self) -> Counter[str]:
        """How many requests with each conversion were never answered, by the ledger."""
        with self.shop.ledger() as ledger:
            names = [order.get("conversion_id") or order["order_id"] for order in self.shop.orders]
            keys = ledger.keys([self.shop.event_id] * len(names), names)
        name_of = {key.tobytes(): name for key, name in zip(keys, names, strict=True)}
        blobs = self.query("SELECT keys FROM request WHERE state IN ('unknown', 'in_flight')")
        return Counter(
            name_of[bytes(blob[at : at + keys.itemsize])]
            for (blob,) in blobs
            for at in range(0, len(blob), keys.itemsize)
        )

    def answered_last(self) -> list[str]:
        """The conversions that X accepted with the last request that it got."""
        last = self.sandbox.requests[-1].number
        return [str(each.conversion["conversion_id"]) for each in self.sandbox.received if each.request == last]

    def query(self, statement: str, **values: object) -> list[Any]:
        """Look into the ledger with plain SQL, without the code under test."""
        url = sa.make_url(self.shop.ledger_url)
        engine = sa.create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))
        try:
            with engine.begin() as connection:
                return [tuple(row) for row in connection.execute(sa.text(statement), values)]
        finally:
            engine.dispose()

    def _judge_orders(self, results: list[dict[str, Any]]) -> None:
        """Every order of the partition is told of."""
        start = datetime.fromisoformat(self.shop.key).replace(tzinfo=UTC)
        orders = [o for o in self.shop.orders if start <= o["ordered_at"] < start + timedelta(days=1)]
        unsent = {
            row["order_id"]
            for row in self.shop.rows("rejection_report")
            if row["stage"] in ("validate", "consent") and row["severity"] in ("rejected", "suppressed")
        }
        assert {order["order_id"].strip() for order in orders} <= {row["order_id"] for row in results} | unsent

    def _judge_copies(self, state_of: Mapping[str, str], again: Counter[str], *, is_exact: bool) -> None:
        """Nothing was lost, and nothing sent again without a reason."""
        arrived = self.arrived
        for name, state in state_of.items():
            if state in _AT_X:
                assert arrived[name] >= 1, f"{name} is {state} and X never got it"
            if state in _NOT_AT_X:
                assert arrived[name] == 0, f"{name} is {state} and X has it"
            if arrived[name]:
                more = arrived[name] - 1
                assert more == again[name] or (more < again[name] and not is_exact), (
                    f"X accepted {name} {more + 1} times"
                )

    def _judge_ledger(self) -> None:
        """Nothing is in flight and nobody holds a lease."""
        assert self.query("SELECT id FROM request WHERE state = 'in_flight'") == []
        assert {state for row in self.shop.rows("requests") if (state := row["state"]) == "in_flight"} == set()
        alive = self.query("SELECT run_id FROM owner WHERE lease_until > :now", now=self.shop.open_now())
        assert alive == []

    def _judge_counts(self, uploaded: Uploaded, states: Counter[str]) -> None:
        """The counts of the run are those of the files."""
        counts = uploaded.counts.as_dict()
        assert uploaded.counts.add_up
        accepted = counts.pop("accepted") + counts.pop("already_accepted")
        told = {name: counts[name] for name in counts if name in states} | {"accepted": accepted}
        assert told == dict(states) | {"accepted": states["accepted"]}
