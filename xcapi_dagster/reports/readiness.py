"""Match readiness: how well X could match a partition's orders, by a score of ours (docs/match-readiness.md).

X publishes no such score and no weights. It says that more identifiers give a higher matching rate, and that a click id
is always recommended; the numbers here are ours, and a score compares partitions of one shop, nothing else.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import NamedTuple

import numpy as np

from xcapi_dagster.reports.identifiers import STRONG_IDENTIFIERS
from xcapi_dagster.reports.summary import AGE_EDGES, ReasonSummary, Summary
from xcapi_dagster.reports.worth import Worth, sum_of

PAIR = "ip_address and user_agent"

# How far each identifier alone lets a match be expected.
WEIGHTS: Mapping[str, float] = {"twclid": 0.95, "hashed_email": 0.7, "hashed_phone_number": 0.55, PAIR: 0.15}

# The part of the orders without an identifier that could come to have it: not everybody comes from an ad.
REACH: Mapping[str, float] = {"twclid": 0.2, "hashed_email": 0.9, "hashed_phone_number": 0.5, PAIR: 0.9}

FRESHNESS: Mapping[int, float] = {0: 1.0, 24: 0.95, 48: 0.9}  # by the age in hours from which it holds

_UNMATCHABLE = ("no_identifier", "needs_second_identifier")
_DROPPED = {  # the reasons that drop an identifier, by the columns it comes from
    "hashed_email": (
        ("email_invalid", "email_placeholder", "hash_invalid", "hash_placeholder"),
        ("email", "hashed_email"),
    ),
    "hashed_phone_number": (
        ("phone_invalid", "phone_no_country", "hash_invalid", "hash_placeholder"),
        ("phone", "hashed_phone_number"),
    ),
}
_LATE, _HISTORY = 24, 168  # hours: what is older no schedule could have sent sooner
_LEAST_POINTS = 0.05
_CHANGES = 3


class Change(NamedTuple):
    """What would raise the score by so many points, and how many orders it is about."""

    name: str
    orders: int
    points: float


class Readiness(NamedTuple):
    """The score, from 0 to 100, over orders and over their value.

    None where there is nothing to match, or no order with a value.
    """

    by_count: float | None
    by_value: float | None


class _Case(NamedTuple):
    """Orders as they are, or as they could be.

    ``weights`` is how many, or how much, with just these identifiers; ``credible`` the part of each identifier that can
    be anybody's; ``fresh`` what the age at sending leaves of the score.
    """

    weights: Mapping[frozenset[str], float]
    credible: Mapping[str, float]
    fresh: float

    @property
    def score(self) -> float:
        """The score; 0 without orders."""
        total = sum(self.weights.values())
        matched = sum(weight * self._strength(group) for group, weight in self.weights.items())
        return 100 * self.fresh * matched / total if total else 0.0

    def _strength(self, group: frozenset[str]) -> float:
        """How far a match can be expected: one minus the chance that every identifier fails."""
        carried = (identifier for identifier in WEIGHTS if identifier in group)  # in the same order at every run
        return 1 - prod(1 - WEIGHTS[identifier] * self.credible[identifier] for identifier in carried)

    def given(self, identifier: str) -> "_Case":
        """The same orders, each with the identifier."""
        weights: dict[frozenset[str], float] = {}
        for group, weight in self.weights.items():
            weights[group | {identifier}] = weights.get(group | {identifier}, 0.0) + weight
        return self._replace(weights=weights)

    def trusting(self, identifier: str, part: float) -> "_Case":
        """The same orders, with so much more of the identifier credible."""
        return self._replace(credible={**self.credible, identifier: min(1.0, self.credible[identifier] + part)})


def readiness(summary: Summary) -> Readiness:
    """The match readiness of a partition."""
    by_value = _by_value(summary, _groups(summary))
    return Readiness(by_count=score_by_count(summary), by_value=by_value and by_value.score)


def score_by_count(summary: Summary) -> float | None:
    """The score over orders alone."""
    groups = _groups(summary)
    return _by_count(summary, groups).score if any(worth.orders for worth in groups.values()) else None


def best_changes(summary: Summary) -> tuple[Change, ...]:
    """The three changes that would raise the score most: that over value, where orders have one."""
    groups = _groups(summary)
    changes = _changes(summary, groups, _by_value(summary, groups) or _by_count(summary, groups))
    worth_it = [change for change in changes if change.points >= _LEAST_POINTS]
    return tuple(sorted(worth_it, key=lambda change: (-change.points, change.name))[:_CHANGES])


def _by_count(summary: Summary, groups: Mapping[frozenset[str], Worth]) -> _Case:
    weights = {group: float(worth.orders) for group, worth in groups.items()}
    return _Case(weights, _credible(summary), _freshness(summary.ages))


def _by_value(summary: Summary, groups: Mapping[frozenset[str], Worth]) -> _Case | None:
    """The same by value; None where no order has one."""
    if not any(worth.amounts for worth in groups.values()):
        return None
    read = summary.read
    weights = {group: worth.in_average_orders(read) for group, worth in groups.items()}
    return _Case(weights, _credible(summary), _freshness(summary.ages))


def _groups(summary: Summary) -> dict[frozenset[str], Worth]:
    """The orders with just these identifiers; those that were rejected for want of one have none."""
    groups: dict[frozenset[str], Worth] = {}
    for names, worth in summary.identifiers.groups.items():
        carried = set(names.split("+"))
        pair = {PAIR} if {"ip_address", "user_agent"} <= carried else set()
        group = frozenset(carried & set(STRONG_IDENTIFIERS) | pair)
        groups[group] = groups.get(group, Worth()) + worth
    unmatchable = sum_of(reason.worth for reason in summary.reasons if reason.code in _UNMATCHABLE)
    groups[frozenset()] = groups.get(frozenset(), Worth()) + unmatchable
    return groups


def _credible(summary: Summary) -> dict[str, float]:
    """The part of each identifier that can be anybody's: not shared by too many orders, not at a mistyped domain."""
    found, credible = summary.identifiers, dict.fromkeys(WEIGHTS, 1.0)
    for identifier in STRONG_IDENTIFIERS:
        doubtful = found.shared.get(identifier, 0)
        doubtful += found.mistyped_domains if identifier == "hashed_email" else 0
        if carried := found.carried(identifier):
            credible[identifier] = max(0.0, 1 - doubtful / carried)
    return credible


def _freshness(ages: Iterable[int]) -> float:
    """How much of the score the age at sending leaves; all of it while nothing was sent."""
    counts = np.array(list(ages))
    factors = [FRESHNESS[max(start for start in FRESHNESS if start <= age)] for age in AGE_EDGES]
    return float(counts @ factors / counts.sum()) if counts.sum() else 1.0


def _changes(summary: Summary, groups: Mapping[frozenset[str], Worth], case: _Case) -> Iterable[Change]:
    """Every change that could be made, with what it alone would bring."""
    for identifier in WEIGHTS:
        lacking = sum(worth.orders for group, worth in groups.items() if identifier not in group)
        dropped = min(_dropped(summary.reasons, identifier), lacking)
        missing = lacking - dropped
        most = (case.given(identifier).score - case.score) / lacking if lacking else 0.0
        yield Change(f"mend {identifier}", dropped, most * dropped)
        yield Change(f"give {identifier}", missing, most * missing * REACH[identifier])
    found = summary.identifiers
    doubtful = [
        (f"unshare {identifier}", identifier, found.shared.get(identifier, 0)) for identifier in STRONG_IDENTIFIERS
    ]
    for name, identifier, orders in (*doubtful, ("correct domains", "hashed_email", found.mistyped_domains)):
        part = orders / max(found.carried(identifier), 1)
        yield Change(name, orders, case.trusting(identifier, part).score - case.score)
    late = [count if _LATE <= age < _HISTORY else 0 for count, age in zip(summary.ages, AGE_EDGES, strict=True)]
    hastened = [count - each for count, each in zip(summary.ages, late, strict=True)]
    hastened[0] += sum(late)
    yield Change("send sooner", sum(late), case._replace(fresh=_freshness(hastened)).score - case.score)


def _dropped(reasons: Iterable[ReasonSummary], identifier: str) -> int:
    """How many orders lost the identifier to a reason that can be mended."""
    codes, columns = _DROPPED.get(identifier, ((), ()))
    found = (reason.columns for reason in reasons if reason.code in codes)
    return sum(count for counted in found for names, count in counted.items() if set(names.split(", ")) & set(columns))
