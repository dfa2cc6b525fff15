"""What orders are worth: currencies stay apart, sums are exact, and ranking says what it does."""

from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from xcapi_dagster.conversions.amounts import AMOUNT
from xcapi_dagster.reports.worth import Amount, Worth, sum_of, worth_by

Order = tuple[str, Decimal | None, str | None]

orders = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.none() | st.decimals(min_value=-1000, max_value=10**31, places=6),
        st.sampled_from(["USD", "JPY", None]),
    )
)


def worths(rows: list[Order]) -> dict[str, Worth]:
    groups, values, currencies = zip(*rows, strict=True) if rows else ((), (), ())
    return worth_by(pa.array(groups, pa.string()), pa.array(values, AMOUNT), pa.array(currencies, pa.string()))


@given(orders)
def test_every_order_counts_once_and_in_its_own_currency(rows: list[Order]) -> None:
    """Against a sum made order by order: positive values by currency, what is not known apart, refunds nowhere."""
    found = worths(rows)
    for group in ("a", "b"):
        mine = [(value, currency) for name, value, currency in rows if name == group]
        worth = found.get(group, Worth())
        assert worth.orders == len(mine)
        assert worth.unvalued == sum(value is None or (value > 0 and currency is None) for value, currency in mine)
        for code in ("USD", "JPY"):
            values = [value for value, currency in mine if currency == code and value is not None and value > 0]
            amount = worth.amounts.get(code, Amount(0, Decimal(0)))
            assert (amount.orders, Fraction(amount.total)) == (len(values), sum(map(Fraction, values)))


def test_the_longest_amounts_add_up() -> None:
    """Three times 38 digits: more than Arrow's usual decimals hold, and than Python's usual context keeps."""
    longest = Decimal("9" * 32 + ".999999")
    worth = worths([("a", longest, "USD")] * 2)["a"] + worths([("a", longest, "USD")])["a"]
    assert str(worth.amounts["USD"].total) == "2" + "9" * 32 + ".999997"


def test_ranking_measures_each_currency_by_its_own_average() -> None:
    """5,000 yen among orders of 10,000 are half an order, 100 dollars among orders of 50 are two."""
    read = Worth(orders=4, amounts={"JPY": Amount(2, Decimal(20_000)), "USD": Amount(2, Decimal(100))})
    lost = Worth(orders=2, amounts={"JPY": Amount(1, Decimal(5_000)), "USD": Amount(1, Decimal(100))})
    assert lost.in_average_orders(read) == 2.5
    assert read.in_average_orders(read) == 4.0


def test_what_is_not_known_counts_as_one_order() -> None:
    """An order without a value is no worse than others; a refund and a free order are worth nothing."""
    refund, unknown = worths([("a", Decimal(-5), "USD")])["a"], worths([("a", None, "USD")])["a"]
    read = sum_of([refund, unknown, worths([("a", Decimal(7), "USD")])["a"]])
    assert (refund.in_average_orders(read), unknown.in_average_orders(read)) == (0.0, 1.0)
