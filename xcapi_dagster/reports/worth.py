"""What orders are worth. Amounts of different currencies are never added up, and never compared as if they were one."""

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from xcapi_dagster.conversions.texts import flags

# Sums of the longest amounts leave decimal128, without a word, and are rounded at the usual 28 digits.
_EXACT = pa.decimal256(76, 6)
_DIGITS = Context(prec=76)


class Amount(NamedTuple):
    """The sum of so many orders' values, in one currency; refunds and free orders are not among them."""

    orders: int
    total: Decimal


class Worth(BaseModel):
    """So many orders: ``amounts`` by currency, and of how many others value or currency is not known."""

    model_config = ConfigDict(frozen=True)

    orders: int = 0
    unvalued: int = 0
    amounts: Mapping[str, Amount] = {}

    def __add__(self, other: Self) -> "Worth":
        return sum_of((self, other))

    @property
    def averages(self) -> Mapping[str, Decimal]:
        """The average value in each currency."""
        return {currency: amount.total / amount.orders for currency, amount in self.amounts.items() if amount.orders}

    def in_average_orders(self, of: "Worth") -> float:
        """How many average orders this is worth, for ranking: the only measure that adds up across currencies.

        An amount counts as many times as it holds the average value that the orders ``of`` have in its own currency;
        an order whose value or currency is not known counts once, a free one and a refund not at all.
        """
        averages = of.averages
        held = (amount.total / averages[currency] for currency, amount in self.amounts.items() if currency in averages)
        return self.unvalued + float(sum(held))


def sum_of(worths: Iterable[Worth]) -> Worth:
    """All of them together."""
    orders, unvalued, amounts = 0, 0, dict[str, Amount]()
    for worth in worths:
        orders += worth.orders
        unvalued += worth.unvalued
        for currency, amount in worth.amounts.items():
            known = amounts.get(currency, Amount(0, Decimal(0)))
            amounts[currency] = Amount(known.orders + amount.orders, _DIGITS.add(known.total, amount.total))
    return Worth(orders=orders, unvalued=unvalued, amounts=dict(sorted(amounts.items())))


def worth_by(groups: pa.Array, values: pa.Array, currencies: pa.Array) -> dict[str, Worth]:
    """What the orders of each group are worth; ``groups`` has a name for each order, and none is null."""
    is_positive = pc.greater(values, 0)
    counts = flags(pc.and_(is_positive, currencies.is_valid()))
    is_unvalued = pc.and_(pc.or_kleene(is_positive, is_positive.is_null()), pc.invert(counts))
    table = pa.table(
        {
            "group": groups,
            "currency": pc.if_else(counts, currencies, None),
            "value": pc.if_else(counts, values, None).cast(_EXACT),
            "unvalued": is_unvalued.cast(pa.int64()),
        }
    )
    summed = table.group_by(["group", "currency"]).aggregate([("value", "sum"), ("unvalued", "sum"), ([], "count_all")])
    found: dict[str, list[Worth]] = {}
    for row in summed.to_pylist():
        currency, orders = row["currency"], row["count_all"]
        amounts = {} if currency is None else {currency: Amount(orders, row["value_sum"])}
        worth = Worth(orders=orders, unvalued=row["unvalued_sum"], amounts=amounts)
        found.setdefault(row["group"], []).append(worth)
    return {group: sum_of(worths) for group, worths in found.items()}
