"""Numbers as people read them."""

from decimal import Decimal

from xcapi_dagster.reports.worth import Worth


def number(count: int) -> str:
    """As "5,012"."""
    return f"{count:,}"


def percent(part: float, whole: float) -> str:
    """As "12.5%"; neither nothing nor everything is told unless it is."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return "99.9%"
    return f"{share:.1f}%" if share % 100 else f"{share:.0f}%"


def points(score: float | None) -> str:
    """A score as "63"; a dash for none."""
    return "–" if score is None else f"{score:.0f}"


def amount(currency: str | None, total: Decimal) -> str:
    """As "USD 1,204" or "KWD 12.345": exact, decimals only where there are some, and then at least two."""
    whole, _, decimals = f"{total.copy_abs():f}".partition(".")
    decimals = decimals.rstrip("0")
    sign = "-" if total < 0 else ""
    return f"{currency or '?'} {sign}{int(whole):,}" + (f".{decimals:<02}" if decimals else "")


def amounts(worth: Worth, of: Worth) -> list[str]:
    """One text for each currency, that in which most orders ``of`` are first."""
    usual = {currency: amount.orders for currency, amount in of.amounts.items()}
    currencies = sorted(worth.amounts, key=lambda currency: (-usual.get(currency, 0), currency))
    return [amount(currency, worth.amounts[currency].total) for currency in currencies]


def more_currencies(count: int) -> str:
    """As "2 more currencies"."""
    return f"{count} more {'currency' if count == 1 else 'currencies'}"


def shortened(text: str, longest: int = 100) -> str:
    """The text, or its beginning: an order id may have any length."""
    return text if len(text) <= longest else f"{text[:longest]}…"
