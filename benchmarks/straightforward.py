"""The script that most would write: a frame, a function for each row, a request for each 500, nothing remembered.

    python -m benchmarks.straightforward ORDERS.duckdb URL

It does the same to the orders as the product, by the libraries made for it, and prints one line of JSON. It keeps no
ledger, isolates no bad row, and would send everything again the next time.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pandas as pd
import phonenumbers
from requests_oauthlib import OAuth1Session

from benchmarks.product import peak_bytes
from xcapi_dagster.contract import CURRENCIES
from xcapi_dagster.settings import DEMO

_MOST = 500  # conversions in a request, as X documents


def run(orders: Path, url: str) -> dict[str, Any]:
    """Send all orders; returns how many were sent and what it took."""
    cpu, wall = time.process_time(), time.monotonic()
    frame = frame_of(orders)
    conversions = [event for event in frame.apply(conversion_of, axis=1) if event]
    session = OAuth1Session("benchmark", "benchmark", "benchmark", "benchmark")
    address = f"{url}/12/measurement/conversions/{DEMO['pixel_id']}"
    for start in range(0, len(conversions), _MOST):
        answer = session.post(address, json={"conversions": conversions[start : start + _MOST]})
        answer.raise_for_status()
    return {
        "read": len(frame),
        "sent": len(conversions),
        "cpu": {"all": time.process_time() - cpu},
        "wall": {"all": time.monotonic() - wall},
        "peak_bytes": peak_bytes(),
    }


def frame_of(orders: Path) -> pd.DataFrame:
    """The orders, the latest row of each."""
    with duckdb.connect(str(orders), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        frame = connection.sql("SELECT * FROM orders").to_arrow_table().to_pandas()
    return frame.drop_duplicates("order_id", keep="last")


def conversion_of(order: pd.Series) -> dict[str, Any] | None:
    """The order as X takes it, None when it cannot be sent."""
    identifiers = identifiers_of(order)
    has_value = order["value"] >= 0 and order["currency"] in CURRENCIES
    if not order["consent"] or not identifiers or not has_value or not pd.isna(order["event_id"]):
        return None
    event: dict[str, Any] = {
        "conversion_time": order["ordered_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "event_id": DEMO["event_id"],
        "identifiers": identifiers,
        "conversion_id": order["order_id"],
        "value": f"{order['value']:.2f}",
        "price_currency": order["currency"],
        "number_items": int(order["quantity"]),
    }
    if isinstance(order["description"], str) and "@" not in order["description"]:
        event["description"] = order["description"]
    event["contents"] = [{**item, "content_price": f"{item['content_price']:.2f}"} for item in order["items"]]
    return event


def identifiers_of(order: pd.Series) -> list[dict[str, str]]:
    """Click id, hashed e-mail address and phone, IP address with user agent: what the order has of them."""
    found = []
    if twclid := parse_qs(urlsplit(order["landing_url"]).query).get("twclid"):
        found.append({"twclid": twclid[0]})
    if isinstance(order["email"], str):
        found.append({"hashed_email": sha256(order["email"].strip().lower())})
    if isinstance(order["phone"], str) and (number := e164(order["phone"], order["country"])):
        found.append({"hashed_phone_number": sha256(number)})
    if isinstance(order["ip_address"], str) and isinstance(order["user_agent"], str):
        found.append({"ip_address": order["ip_address"], "user_agent": order["user_agent"]})
    return found


def e164(text: str, country: str) -> str | None:
    """The number in E.164, if it is possible; a leading 00 may stand for the plus sign."""
    for written in (text, "+" + text[2:]) if text.startswith("00") else (text,):
        try:
            number = phonenumbers.parse(written, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return None


def sha256(text: str) -> str:
    """The hexadecimal SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", type=Path)
    parser.add_argument("url")
    given = parser.parse_args()
    print(json.dumps(run(given.orders, given.url)))
