"""Writes the sample orders and the list of the faults planted in them, the same every time.

    python sample_data/generate.py [FOLDER]

Every order starts out clean; faults.py then spoils some by plan and notes the reasons each must get, so that the
expected result comes from that plan and never from the product. README.md describes columns and planted kinds.
"""

import csv
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
from faults import Row, plant, severity, stage
from shops import PRODUCTS, SHOPS, Shop

SEED = 20261020
FIRST_DAY = datetime(2026, 10, 20, tzinfo=UTC)
ORDERS_PER_DAY = (330, 318, 342, 351, 402, 431, 409, 322, 336, 341, 348, 395, 438, 237)  # a Tuesday to a Monday
FULL_WIDTH_ZERO = ord("\N{FULLWIDTH DIGIT ZERO}")
CUSTOMERS = 3_700  # drawn at random for each order; some 2,700 of them buy, many more than once
# Weights of the shop's local hours.
HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 8, 9, 10, 9, 8, 8, 8, 9, 11, 13, 14, 13, 9, 5)

ITEM = {
    "content_id": pa.string(),
    "content_group_id": pa.string(),
    "content_name": pa.string(),
    "content_price": pa.decimal128(18, 3),
    "content_type": pa.string(),
    "num_items": pa.int64(),
}
PERSON = ("email", "phone", "hashed_email", "hashed_phone_number")
SCHEMA = pa.schema(
    [("order_id", pa.string()), ("ordered_at", pa.timestamp("us", "UTC")), ("conversion_id", pa.string())]
    + [(name, pa.string()) for name in (*PERSON, "country", "twclid", "landing_url", "ip_address", "user_agent")]
    + [("value", pa.decimal128(18, 3)), ("currency", pa.string()), ("quantity", pa.int64())]
    + [("description", pa.string()), ("event_id", pa.string()), ("consent", pa.string())]
    + [("updated_at", pa.timestamp("us", "UTC")), ("items", pa.list_(pa.struct(list(ITEM.items()))))]
)
DESCRIPTIONS = (
    None,
    None,
    "Autumn sale",
    "Online order",
    "Gift wrapping 🎁",
    'Note: "leave at the door"',
    "Two\nlines",
)
DOMAINS = ("example.com", "example.com", "example.org", "example.net", "mail.example.com", "bücher.example.org")
# First octets of IP addresses; nothing is reserved in them.
PUBLIC_OCTETS = (5, 24, 31, 46, 62, 73, 78, 81, 86, 91, 93, 109, 124, 133, 151, 177, 187, 213)
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
)


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody made up; the e-mail is as it is hashed, the phone as it is written at home."""

    shop: Shop
    email: str
    national: str


def main(folder: Path) -> None:
    """Write both files into the folder."""
    rng = Random(SEED)
    rows = clean_orders(rng)
    plant(rng, rows)
    rows.sort(key=lambda row: row["ordered_at"] or datetime.max.replace(tzinfo=UTC))
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "orders.parquet", compression="zstd")
    with (folder / "planted_faults.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("order_id", "partition", "stage", "severity", "reason_code"))
        lines.writerows(planted_faults(rows))


def clean_orders(rng: Random) -> list[Row]:
    """Orders without any fault, by time."""
    customers = [customer(rng, number) for number in range(CUSTOMERS)]
    rows: list[Row] = []
    for day, count in enumerate(ORDERS_PER_DAY):
        for who in rng.choices(customers, k=count):
            at = moment(rng, FIRST_DAY + timedelta(days=day), who.shop)
            row: Row = {"ordered_at": at, "country": who.shop.country, "consent": "granted", "reasons": ()}
            row["updated_at"] = at + timedelta(seconds=rng.randrange(200_000)) if rng.random() >= 0.1 else None
            row["event_id"] = rng.choices((None, "opurch1", "tw-odemo1-opurch1"), (97, 2, 1))[0]
            row |= people_columns(rng, who)
            row |= visit_columns(rng, who.shop, is_identified=any(row[name] for name in PERSON))
            rows.append(row | basket_columns(rng, who.shop))
    rows.sort(key=lambda row: row["ordered_at"])
    for number, row in enumerate(rows, start=100_001):
        row["order_id"] = f"{row['country']}-{number}"
        row["conversion_id"] = f"web-{row['order_id']}" if rng.random() < 0.15 else None
    return rows


def moment(rng: Random, day: datetime, shop: Shop) -> datetime:
    """A time of that UTC day, busy when it is evening at the shop; now and then its first or last millisecond."""
    chance = rng.random()
    if chance < 0.008:
        return day if chance < 0.004 else day + timedelta(days=1, milliseconds=-1)
    hour = (rng.choices(range(24), HOURS)[0] - shop.utc_offset) % 24
    return day + timedelta(hours=hour, milliseconds=rng.randrange(3_600_000))


def customer(rng: Random, number: int) -> Customer:
    """A customer of one of the shops, in proportion to their size; the number keeps the e-mail unique."""
    shop = rng.choices(SHOPS, [shop.share for shop in SHOPS])[0]
    names = shop.names.split()
    local = rng.choice(("{}.{}", "{}_{}", "{}{}", "{}.{}+shop")).format(rng.choice(names[:4]), rng.choice(names[4:]))
    national = "".join(str(rng.randrange(10)) if sign == "#" else sign for sign in rng.choice(shop.numbers))
    return Customer(shop, f"{number}.{local}@{rng.choice(DOMAINS)}", national)


def people_columns(rng: Random, who: Customer) -> Row:
    """E-mail and phone, raw or, from a shop that hashes by itself, hashed already."""
    columns: Row = dict.fromkeys(PERSON)
    has_email, has_phone = rng.random() >= 0.12, rng.random() >= 0.40
    if rng.random() < 0.04:
        digits = who.national.removeprefix(who.shop.trunk).replace(" ", "")
        columns["hashed_email"] = digest(who.email) if has_email else None
        columns["hashed_phone_number"] = digest(f"+{who.shop.calling_code}{digits}").upper() if has_phone else None
        return columns
    columns["email"] = messy_email(rng, who.email) if has_email else None
    columns["phone"] = messy_phone(rng, who.shop, who.national) if has_phone else None
    return columns


def messy_email(rng: Random, email: str) -> str:
    """The address as somebody might type or export it; without the dirt, and in lower case, it is `email` again."""
    forms = (email.upper(), email.title(), f"  {email}", f"{email} ", f"{email}\n", f"\u200b{email}", f"{email}\ufeff")
    return email if rng.random() < 0.5 else rng.choice((*forms, f"\u00a0{email}\t"))


def messy_phone(rng: Random, shop: Shop, national: str) -> str:
    """The number as somebody might type it in the shop's country, the same number in every form."""
    bare = national.removeprefix(shop.trunk)
    abroad = f"+{shop.calling_code} {bare}"
    area, rest = national.split(" ", 1)
    fullwidth = national.translate({ord("0") + digit: FULL_WIDTH_ZERO + digit for digit in range(10)})
    forms = [abroad, national, national.replace(" ", ""), national.replace(" ", "-"), f"({area}) {rest}", fullwidth]
    forms += [f"{abroad} ext. 12", f"{shop.dial_out} {shop.calling_code} {bare}" if shop.dial_out else abroad]
    forms += [f"+{shop.calling_code} (0){bare}"] if shop.trunk else []
    return abroad.replace(" ", "") if rng.random() < 0.4 else rng.choice(forms)


def digest(text: str) -> str:
    """The SHA-256 of the text, in lower-case hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def visit_columns(rng: Random, shop: Shop, *, is_identified: bool) -> Row:
    """How the customer came: landing page with or without twclid, address and browser. Never nobody at all."""
    click = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=26)) if rng.random() < 0.5 else None
    query = ["utm_source=x", "utm_campaign=autumn%20sale%2026", "q=caf%C3%A9"][: rng.randrange(4)]
    query += [f"twclid={click}" + rng.choice(("", "", "", "%20"))] if click else []
    rng.shuffle(query)
    url = f"https://shop.example.com/{shop.country.lower()}/" + "?" * bool(query) + "&".join(query)
    row: Row = {"landing_url": url + rng.choice(("", "", "#reviews")), "twclid": None}
    if click and rng.random() < 0.1:  # this shop keeps the click in its own column and cuts the address
        row |= {"landing_url": None, "twclid": click}
    is_alone = not is_identified and not click
    address = [rng.choice(PUBLIC_OCTETS), rng.randrange(256), rng.randrange(256), rng.randrange(1, 255)]
    row["ip_address"] = ".".join(map(str, address)) if is_alone or rng.random() >= 0.2 else None
    row["user_agent"] = rng.choice(AGENTS) if is_alone or rng.random() >= 0.2 else None
    return row


def basket_columns(rng: Random, shop: Shop) -> Row:
    """Items, their number and their price in the shop's currency, to its smallest coin; some are free."""
    items: list[Row] = []
    for position in sorted(rng.sample(range(len(PRODUCTS)), rng.choice((1, 1, 1, 2, 2, 3, 4, 5)))):
        name, kind, group, dollars = PRODUCTS[position]
        price = (Decimal(dollars) * Decimal(shop.rate)).quantize(Decimal(1).scaleb(-shop.decimals))
        values = (f"SKU-{1000 + position}", group, name, price, kind, rng.choice((1, 1, 1, 2, 3)))
        items.append(dict(zip(ITEM, values, strict=True)))
    total = sum((item["content_price"] * item["num_items"] for item in items), Decimal(0))
    row: Row = {"value": total, "currency": shop.currency, "quantity": sum(item["num_items"] for item in items)}
    chance = rng.random()
    if chance < 0.015:
        row |= {"value": None, "currency": None} if chance < 0.01 else {"value": Decimal(0)}
    row["quantity"] = None if rng.random() < 0.03 else row["quantity"]
    return row | {"items": items if rng.random() >= 0.05 else None, "description": rng.choice(DESCRIPTIONS)}


def planted_faults(rows: list[Row]) -> list[tuple[str, ...]]:
    """One line per planted (order, reason): order id, partition, stage, severity, reason code; sorted."""
    return sorted(
        ((row["order_id"] or "").strip(), f"{row['ordered_at']:%Y-%m-%d}", stage(reason), severity(reason), reason)
        for row in rows
        for reason in row["reasons"]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
