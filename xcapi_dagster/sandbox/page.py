"""The sandbox's own pages: what it received, for people and for programs, and the script of faults.

The page for people shows counts and ids only; `received.json` has the whole payloads. No other web page can read
either (no CORS), nor write a script (it must be JSON, which a foreign page may not send).
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qs

from xcapi_dagster import contract
from xcapi_dagster.sandbox.answers import Answer, Error, Request, failure, html, of_status, to_json
from xcapi_dagster.sandbox.faults import Script, from_json
from xcapi_dagster.sandbox.record import Received, Record

_SHOWN_REQUESTS = 50
_SHOWN_HOURS = 48
_SHOWN_CONVERSION_IDS = 20

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>X Ads API sandbox</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; margin-bottom: 2rem }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .8rem .2rem 0; text-align: left }
</style></head><body>
"""


def own_page(request: Request, record: Record, script: Script) -> Answer | None:
    """The answer when the request is for one of the sandbox's own pages; None when it is for the API."""
    match request.method, request.path:
        case "GET", "/":
            return html(200, overview(record))
        case "GET", "/_sandbox/received.json":
            return _received(request.query, record)
        case "POST", "/_sandbox/faults":
            return _replace_script(request, script)
        case "DELETE", "/_sandbox/faults":
            script.replace([])
            return Answer(200, to_json({"faults": 0}))
    return None if not request.path.startswith("/_sandbox/") else failure(of_status(404))


def overview(record: Record) -> str:
    """What was received, as a page of HTML: counts, the last requests and conversion ids, and no identifiers."""
    requests, received = record.requests, record.received
    events = Counter(contract.short_event_id(each.conversion["event_id"]) for each in received)
    hours = Counter(each.conversion["conversion_time"][:13] for each in received)
    counts = [("requests", len(requests)), ("conversions", len(received)), ("counted once", record.deduplicated)]
    ids = [each.conversion.get("conversion_id", "") for each in received[: -_SHOWN_CONVERSION_IDS - 1 : -1]]
    rows = [
        (each.number, _time(each.received_at), f"{each.method} {each.path}", each.status or "none",
         each.conversions, each.size)
        for each in requests[: -_SHOWN_REQUESTS - 1 : -1]
    ]  # fmt: skip
    return "".join(
        [
            _HEAD,
            "<h1>X Ads API sandbox</h1>",
            _table("Received", ("what", "how many"), counts),
            _table("Conversions by event", ("event", "conversions"), events.most_common()),
            _table("Conversions by their hour", ("hour (UTC)", "conversions"), sorted(hours.items())[-_SHOWN_HOURS:]),
            _table("Last requests", ("number", "time (UTC)", "request", "status", "conversions", "bytes"), rows),
            _table("Last conversions", ("conversion id",), [(each,) for each in ids]),
            "</body></html>",
        ]
    )


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _received(query: str, record: Record) -> Answer:
    since = parse_qs(query).get("since", ["0"])[-1]
    if not (since.isascii() and since.isdigit() and len(since) < 10):  # as of the parameters of X's own calls
        return failure(Error(400, "INVALID_PARAMETER", "since must be the number of a request", "since"))
    document = {
        "requests": [asdict(each) for each in record.requests if each.number > int(since)],
        "conversions": [_shown(each) for each in record.received if each.request > int(since)],
        "deduplicated": record.deduplicated,
    }
    return Answer(200, to_json(document))


def _shown(received: Received) -> dict[str, object]:
    return {
        "request": received.request,
        "received_at": received.received_at,
        "account_id": received.account_id,
        "pixel_id": received.pixel_id,
        "conversion": received.conversion,
    }


def _replace_script(request: Request, script: Script) -> Answer:
    if not request.is_json:
        return failure(of_status(415))
    try:
        faults = from_json(json.loads(request.body))
    except (ValueError, RecursionError) as error:
        return failure(Error(400, "INVALID_PARAMETER", f"the script is not usable: {error}"))
    script.replace(faults)
    return Answer(200, to_json({"faults": len(faults)}))
