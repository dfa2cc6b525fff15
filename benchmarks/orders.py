"""Orders as a shop has them, the same for the same number: made by DuckDB, in a DuckDB file.

Of all orders 12 % have no e-mail address, 40 % no phone, half a click id in their landing URL, 20 % neither IP
address nor user agent; phones of eight countries are written in nine ways, one in sixty with an
extension; customers come back, so that there are 0.55 of them for an order.
Three in a hundred are bad: without identifier, with an IP address alone, of a negative value,
in no currency, with a wrong event id, without consent, with an address in the description, there twice.
"""

from pathlib import Path

import duckdb
import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

DAY = "2026-11-02"
PARTITION = DAY
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "BR", "JP")
_FREE_DIGITS = "#####"

_ORDERS = """
    CREATE TABLE orders AS
    WITH numbers AS (SELECT n, hash(n) AS h FROM range({rows}) AS t(n)),
    drawn AS (
        SELECT n, h,
               h % greatest(1, ({rows} * 55) // 100) AS customer,
               (h >> 8) % 10000 AS luck,
               (h >> 16) % 100 AS p_phone, (h >> 24) % 100 AS p_email, (h >> 32) % 100 AS p_url, (h >> 40) % 100 AS p_ip
        FROM numbers
    )
    SELECT
        CASE WHEN luck BETWEEN 280 AND 299 THEN 'order-' || (n - 1) ELSE 'order-' || n END AS order_id,
        TIMESTAMPTZ '{day} 00:00:00+00' + to_microseconds((n * 86400000000) // {rows}) AS ordered_at,
        CASE WHEN luck < 100 OR p_email < 12 THEN NULL
             WHEN p_email < 20 THEN '  Customer.' || customer || '@Example.COM '
             ELSE 'customer.' || customer || '@example.com' END AS email,
        CASE WHEN luck < 100 OR p_phone < 40 THEN NULL
             ELSE replace(phone, '{free}', lpad((customer % 100000)::VARCHAR, 5, '0'))
             || CASE WHEN p_phone = 40 THEN ' ext. 12' ELSE '' END END AS phone,
        country,
        CASE WHEN luck < 100 OR p_url < 50 THEN 'https://shop.example/p/' || (h % 997) || '?utm_source=mail'
             ELSE 'https://shop.example/p/' || (h % 997) || '?utm_source=x&twclid=2' || hex(h) || '&utm_campaign=c'
             END AS landing_url,
        CASE WHEN luck < 60 OR p_ip < 20 THEN NULL
             ELSE '93.' || (h >> 9) % 256 || '.' || (h >> 17) % 256 || '.' || (h >> 25) % 256 END AS ip_address,
        CASE WHEN luck < 100 OR p_ip < 20 THEN NULL
             ELSE 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/' || 90 + h % 60
             || '.0.0.0 Safari/537.36' END AS user_agent,
        CASE WHEN luck BETWEEN 100 AND 139 THEN -5.00 ELSE (h % 50000)::DECIMAL(12, 2) / 100 + 1 END::DECIMAL(12, 2)
             AS value,
        CASE WHEN luck BETWEEN 140 AND 179 THEN 'EURO' ELSE currency END AS currency,
        CASE WHEN luck BETWEEN 180 AND 209 THEN 'not an id' END AS event_id,
        1 + h % 4 AS quantity,
        CASE WHEN luck BETWEEN 240 AND 279 THEN 'for somebody@example.com' WHEN h % 10 = 0 THEN 'Gift for a friend' END
             AS description,
        luck NOT BETWEEN 210 AND 239 AS consent,
        {items} AS items
    FROM drawn JOIN phones ON phones.number = (h >> 11) % {phones}
    ORDER BY n
"""
_ITEMS = """
    list_transform(range({count}), lambda i: {{
        'content_id': 'sku-' || ((h >> 5) % 5000)::BIGINT + i,
        'content_name': CASE WHEN ((h >> 3) % 1000 + i::UBIGINT) % 20 = 0
                             THEN 'Caf\u00e9 "Br\u00fbl\u00e9" \\ no. ' || i
                             ELSE 'Article number ' || ((h >> 5) % 5000)::BIGINT + i END,
        'content_price': (((h >> 7) % 9000)::DECIMAL(10, 2) / 100 + 1)::DECIMAL(10, 2),
        'content_type': 'product',
        'num_items': 1 + ((h >> 3) % 1000 + i::UBIGINT) % 3
    }})
"""


def write_orders(path: Path, rows: int, *, items: int | None = None) -> None:
    """Write a DuckDB file with so many orders of one day, in the table `orders`.

    Each has from one to five items, or exactly ``items`` (0: the column is not there).
    """
    path.unlink(missing_ok=True)
    count = "(1 + (h >> 13) % 5)::BIGINT" if items is None else str(items)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE phones (number INTEGER, country VARCHAR, currency VARCHAR, phone VARCHAR)")
        phones = _phones()
        connection.executemany("INSERT INTO phones VALUES (?, ?, ?, ?)", phones)
        given = "NULL::VARCHAR" if items == 0 else _ITEMS.format(count=count)
        connection.execute(_ORDERS.format(rows=rows, day=DAY, free=_FREE_DIGITS, items=given, phones=len(phones)))
        connection.execute("DROP TABLE phones")


def _phones() -> list[tuple[int, str, str, str]]:
    """Telephone numbers of some countries as people write them, the last five digits left free."""
    currencies = {"US": "USD", "GB": "GBP", "BR": "BRL", "JP": "JPY"}
    written = []
    for region in _REGIONS:
        number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        e164, national, international = (
            _with_free_digits(phonenumbers.format_number(number, style))
            for style in (PhoneNumberFormat.E164, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.INTERNATIONAL)
        )
        bare = "".join(character for character in national if character.isdigit() or character == "#")
        ways = [e164, e164, e164, national, international, bare, national.replace(" ", "-")]
        ways += ["00" + e164[1:], international.replace(" ", ".")]
        written += [(region, currencies.get(region, "EUR"), way) for way in ways]
    return [(number, *each) for number, each in enumerate(written)]


def _with_free_digits(text: str) -> str:
    """The text with its last five digits, and what is between them, as one run of signs to be replaced."""
    seen, end = 0, len(text)
    while seen < len(_FREE_DIGITS):
        end -= 1
        seen += text[end].isdigit()
    return text[:end] + _FREE_DIGITS
