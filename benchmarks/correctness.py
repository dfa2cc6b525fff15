"""Whether what the product sends is right: compared with what the straightforward script makes of the same orders."""

import json
from pathlib import Path
from typing import Any

from benchmarks.product import run, settings_for
from benchmarks.straightforward import conversion_of, frame_of
from xcapi_dagster.sandbox import Sandbox
from xcapi_dagster.settings import DEMO_OAUTH


def check(orders: Path, folder: Path) -> str:
    """Send ``orders`` to a sandbox; returns in words that all is right, or raises RuntimeError."""
    with Sandbox() as sandbox:
        settings = settings_for(orders, folder / "checked", sandbox.url)
        run(settings.model_copy(update=dict(DEMO_OAUTH)))
        arrived = {received.conversion["conversion_id"]: received.conversion for received in sandbox.received}
        sent = len(sandbox.received)
        refused = [request for request in sandbox.requests if request.status != 200]
    expected = _expected(orders)
    if refused:
        raise RuntimeError(f"{len(refused)} requests were refused")
    if sent != len(arrived):
        raise RuntimeError(f"{sent - len(arrived)} conversions arrived twice")
    if arrived.keys() != expected.keys():
        raise RuntimeError(f"other orders arrived: {sorted(arrived.keys() ^ expected.keys())[:5]}")
    differing = [order for order, conversion in expected.items() if _plain(arrived[order]) != _plain(conversion)]
    if differing:
        raise RuntimeError(f"{len(differing)} conversions differ, such as that of {differing[0]}")
    return f"{sent:,} conversions arrived once each, as the script would have sent them: now they are timed."


def _expected(orders: Path) -> dict[str, dict[str, Any]]:
    events = frame_of(orders).apply(conversion_of, axis=1)
    return {event["conversion_id"]: event for event in events if event}


def _plain(conversion: Any) -> str:
    return json.dumps(conversion, sort_keys=True)
