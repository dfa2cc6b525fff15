"""The page of a partition and the overview, opened from the disk in Chromium."""

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports.history import History
from xcapi_dagster.reports.pages import write_overview, write_page
from xcapi_dagster.reports.summary import Summary

pytestmark = pytest.mark.slow

DAY = "2026-10-24"

WritePartition = Callable[..., tuple[Outputs, Summary]]

HOSTILE = (
    "<script>document.title='pwned'</script>",
    "\"><img src=x onerror=\"document.title='pwned'\">",
    "</script><script>document.title='pwned'</script>",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %}",
    '=HYPERLINK("https://example.com")',
    "javascript:alert(1)",
    "\u202eevil\u202c \u2067rtl",
    "line\u2028separator\nand\x00control",
    "[link](javascript:alert(1)) `code` | pipe",
    "x" * 10_000,
)  # fmt: skip


@pytest.fixture
def folder(demo: Path) -> Path:
    return demo / "output" / "purchases" / "rejection_report"


def address(path: Path) -> str:
    return path.as_uri()


def make(folder: Path, partition: str, *rows: dict[str, object], write: WritePartition, accepted: int = 10) -> Outputs:
    """Write report, summary and pages of a partition with these rows of the report."""
    outputs, summary = write(folder, partition, *rows, accepted=accepted)
    write_page(summary, History.of(outputs), outputs)
    write_overview(outputs)
    return outputs


def path_of(outputs: Outputs, partition: str) -> Path:
    return Path(str(outputs.path("rejection_page", partition)))


def rows_of(page: Page) -> list[list[str]]:
    """The rows of the list of orders that are shown."""
    return [
        [cell.inner_text() for cell in row.locator("th,td").all()] for row in page.locator("#matches tbody tr").all()
    ]


def test_the_page_answers_in_its_first_screen(page: Page, folder: Path, fetched: list[str]) -> None:
    """How many orders reached X, how many were lost and what they are worth, why, and the fix: as the files have it."""
    page.goto(address(folder / f"{DAY}.html"))
    report = pq.read_table(folder / f"{DAY}.parquet").to_pylist()
    lost = {row["order_id"]: row for row in report if row["severity"] == "rejected"}
    expect(page.locator("h1")).to_have_text(f"Rejection report, {DAY}")
    expect(page.locator(".headline")).to_contain_text(f"395 of 402 orders reached X. {len(lost)} are lost")
    codes = Counter(row["reason_code"] for row in report)
    for code, count in codes.items():
        item = page.locator(f"#reason-{code}")
        expect(item.locator(".orders b")).to_have_text(str(count))
        expect(item.locator(".fix")).to_contain_text(REASONS[code].fix)
    first = page.locator(".reasons.lost > li").first
    expect(first.locator("details")).to_have_attribute("open", "")
    named = first.locator("dd bdi").all_inner_texts()
    assert set(named) & set(lost)
    assert fetched == [address(folder / f"{DAY}.html")]


def test_charts_have_their_marks_and_a_table_with_the_same(page: Page, folder: Path) -> None:
    """A bar for each step, with its number; each chart says what it is, and what it shows is in a table too."""
    page.goto(address(folder / f"{DAY}.html"))
    table = page.locator("#fate table tbody tr")
    steps = [(row.locator("th").text_content(), row.locator("td").first.text_content()) for row in table.all()]
    marks = page.locator("#fate svg .mark title").all_text_contents()
    assert sorted(marks) == sorted(
        f"{name}: {orders} orders, {row.locator('td').nth(1).text_content()}"
        for (name, orders), row in zip(steps, table.all(), strict=True)
    )
    assert dict(steps)["Accepted"] == "395"
    assert sum(int(str(orders)) for name, orders in steps if name != "Read") == 402
    assert page.locator("#match svg .mark").count() == 4
    assert page.locator("#trend svg .mark.current").count() >= 1
    assert page.locator("#age svg text.limit").text_content() == "48 h"
    for chart in page.locator("svg").all():
        assert chart.get_attribute("role") == "img"
        assert chart.get_attribute("aria-label")
        box = chart.bounding_box()
        assert box is not None
        assert box["height"] > 100


def test_ranking_by_count_puts_the_most_frequent_first(page: Page, folder: Path) -> None:
    """By value at first; the other way round, the order of the reasons is that of their counts."""
    page.goto(address(folder / f"{DAY}.html"))
    items = page.locator(".reasons.degraded > li")
    by_value = items.evaluate_all("items => items.map(item => Number(item.dataset.value))")
    assert by_value == sorted(by_value, reverse=True)
    page.get_by_label("number of orders").check()
    by_count = items.evaluate_all("items => items.map(item => Number(item.dataset.orders))")
    assert by_count == sorted(by_count, reverse=True)


def test_filter_and_search_find_the_rows_of_the_report(page: Page, folder: Path) -> None:
    """By reason, by what became of it, by currency, by a part of the id in any case; nothing found is said."""
    report = pq.read_table(folder / f"{DAY}.parquet").to_pylist()
    page.goto(address(folder / f"{DAY}.html"))
    assert {row[0] for row in rows_of(page)} == {row["order_id"] or "(no id)" for row in report}
    code = report[0]["reason_code"]
    page.locator("select[name=reason]").select_option(code)
    assert len(rows_of(page)) == sum(row["reason_code"] == code for row in report)
    page.locator("select[name=reason]").select_option("all")
    page.locator("select[name=section]").select_option("Lost")
    assert len(rows_of(page)) == sum(row["severity"] == "rejected" for row in report)
    page.locator("select[name=section]").select_option("all")
    wanted = next(row["order_id"] for row in report if row["order_id"])
    page.get_by_role("searchbox").fill(f" {wanted.lower()} ")
    assert {row[0] for row in rows_of(page)} == {wanted}
    page.get_by_role("searchbox").fill("no such order")
    assert rows_of(page) == []
    expect(page.locator("#matched")).to_have_text("0–0 of 0")


def test_a_reason_leads_to_its_orders_by_keyboard(page: Page, folder: Path) -> None:
    """Tab and Enter open a reason and list its orders; the first stop is a way past the header."""
    page.goto(address(folder / f"{DAY}.html"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    item = page.locator(".reasons > li").last
    item.locator("summary").focus()
    page.keyboard.press("Enter")
    button = item.get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    code = str(item.get_attribute("id")).removeprefix("reason-")
    assert {row[2].split("\n")[0] for row in rows_of(page)} == {code}
    assert page.evaluate("document.activeElement.name") == "text"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [f"{DAY}.html", "index.html"])
def test_no_accessibility_rule_is_broken(page: Page, folder: Path, name: str, scheme: str) -> None:
    """Axe's rules, contrast among them, with everything opened; and a narrow screen does not scroll sideways."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # a literal
    page.goto(address(folder / name))
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found] == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_phone_shows_all_of_a_chart_over_time(page: Page, folder: Path) -> None:
    """Its newest column, which is the last, without scrolling."""
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(address(folder / f"{DAY}.html"))
    charts = page.locator("figure.scroll", has=page.locator("svg:not(:has(.horizontal))")).all()
    assert charts
    for chart in charts:
        assert chart.evaluate("each => each.scrollWidth <= each.clientWidth"), chart.get_attribute("aria-label")


def test_paper_shows_everything_and_no_controls(page: Page, folder: Path) -> None:
    """What is folded on the screen is open in print; search boxes are not there."""
    page.goto(address(folder / f"{DAY}.html"))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".reasons .more").last).to_be_visible()
    expect(page.get_by_role("searchbox")).to_be_hidden()


def test_the_overview_leads_to_the_partitions(page: Page, folder: Path, fetched: list[str]) -> None:
    """A column for each, a row for each with a link that opens; the filter finds by date."""
    page.goto(address(folder / "index.html"))
    expect(page.locator("h1")).to_have_text("Rejection report, all 5 partitions")
    labels = {text.split(":")[0] for text in page.locator("#trend svg .mark title").all_text_contents()}
    assert labels == {f"2026-10-{day}" for day in range(20, 25)}
    assert page.locator("#trend svg .flag").count() == 1
    rows = page.locator("#partition-table tbody tr:visible")
    assert rows.count() == 5
    page.get_by_role("searchbox").fill("10-24")
    expect(rows).to_have_count(1)
    page.locator("#partition-table").get_by_role("link", name=DAY).click()
    expect(page.locator("h1")).to_have_text(f"Rejection report, {DAY}")
    assert fetched == [address(folder / "index.html"), address(folder / f"{DAY}.html")]


def test_hostile_values_stay_values(
    page: Page, tmp_path: Path, write_partition: WritePartition, fetched: list[str]
) -> None:
    """Markup, scripts, templates, formulas, text from right to left and 10,000 characters are shown as they are."""
    rows = [
        {"reason_code": "api_value", "order_id": text, "detail": text, "debug_id": text, "value": Decimal(7)}
        for text in HOSTILE
    ]
    outputs = make(tmp_path, DAY, *rows, write=write_partition)
    page.goto(address(path_of(outputs, DAY)))
    shown = {
        row[0]
        for row in page.evaluate(
            "[...document.querySelectorAll('#matches tbody tr')].map(row => [row.cells[0].textContent])"
        )
    }
    # the HTML parser itself makes NUL a replacement character; in JSON it stays what it is
    assert shown == {text if len(text) <= 100 else f"{text[:100]}…" for text in HOSTILE}
    page.get_by_role("searchbox").fill("onerror")
    assert page.locator("#matches tbody tr").count() == 1
    assert page.title() == f"{DAY} · rejection report of purchases"
    assert page.locator("img, script[src], iframe, object").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('#matches th bdi')).unicodeBidi") == "isolate"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert fetched == [address(path_of(outputs, DAY))]


def test_the_policy_forbids_whatever_is_not_the_pages_own(page: Page, folder: Path, tmp_path: Path) -> None:
    """A script, a style and a picture that somebody put into the file do nothing."""
    text = (folder / f"{DAY}.html").read_text(encoding="utf-8")
    bad = "<script>document.title='pwned'</script><style>h1 { display: none }</style><img src='https://example.com/x'>"
    path = tmp_path / "tampered.html"
    path.write_text(text.replace("</body>", f"{bad}</body>"), encoding="utf-8")
    blocked: list[str] = []
    page.context.on("console", lambda message: blocked.append(message.text))
    other = page.context.new_page()
    other.goto(address(path))
    assert other.title() != "pwned"
    expect(other.locator("h1")).to_be_visible()
    assert len([text for text in blocked if "Content Security Policy" in text]) >= 3


def test_a_partition_with_nothing_wrong_says_so(page: Page, tmp_path: Path, write_partition: WritePartition) -> None:
    """No reason, no list, no trend of one; also with a key that is no file name."""
    outputs = make(tmp_path, "2026-11-01-05:00", write=write_partition, accepted=24)
    page.goto(address(path_of(outputs, "2026-11-01-05:00")))
    expect(page.locator(".headline")).to_have_text("All 24 orders reached X.")
    expect(page.locator("#reasons")).to_contain_text("Nothing was lost")
    expect(page.locator("#orders")).to_contain_text("The report has no rows.")
    page.get_by_role("link", name=re.compile("All partitions")).click()
    page.locator("#partition-table a").click()
    expect(page.locator("h1")).to_have_text("Rejection report, 2026-11-01-05:00")


def test_a_partition_with_everything_wrong_opens_too(
    page: Page, tmp_path: Path, write_partition: WritePartition
) -> None:
    """Every reason of the catalogue, no order accepted."""
    rows = [{"reason_code": code, "value": Decimal(5), "currency": "JPY"} for code in REASONS]
    outputs = make(tmp_path, DAY, *rows, write=write_partition, accepted=0)
    page.goto(address(path_of(outputs, DAY)))
    assert page.locator(".reasons > li").count() == len(REASONS)
    expect(page.locator(".headline")).to_contain_text("0 of")


def test_an_order_that_must_not_be_sent_is_not_found_among_the_lost(
    page: Page, tmp_path: Path, write_partition: WritePartition
) -> None:
    """Whatever else is wrong with it, which no section lists and no link can lead to."""
    codes = ("consent_denied", "invalid_currency", "no_identifier")
    rows = [{"reason_code": code, "order_id": "A-1" if code != "no_identifier" else "A-2"} for code in codes]
    outputs, summary = write_partition(tmp_path, DAY, *rows)
    listed = tuple(reason for reason in summary.reasons if reason.code != "invalid_currency")
    write_page(summary.model_copy(update={"reasons": listed, "more_rows": 1}), History.of(outputs), outputs)
    page.goto(address(path_of(outputs, DAY)))
    links = page.locator("#matches a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert {link: page.locator(link).count() for link in links} == {
        "#reason-consent_denied": 1,
        "#reason-no_identifier": 1,
    }
    page.get_by_label("What became of it").select_option("Lost")
    assert page.locator("#matches tbody th").all_text_contents() == ["A-2"]
    page.get_by_label("What became of it").select_option("Withheld")
    assert page.locator("#matches tbody th").all_text_contents() == ["A-1", "A-1"]


def test_amounts_of_any_length_are_whole(page: Page, tmp_path: Path, write_partition: WritePartition) -> None:
    """The longest that an order may have: under the next tile, or beyond the edge, its last digits would be hidden."""
    row = {"reason_code": "no_identifier", "value": Decimal("9" * 32 + ".999999"), "currency": "IDR"}
    outputs = make(tmp_path, DAY, row, write=write_partition)
    for path in (path_of(outputs, DAY), Path(str(outputs.overview))):
        page.goto(address(path))
        shown = page.locator(".tiles .worth, .value .worth")
        texts = {text for text in shown.all_inner_texts() if "IDR" in text}
        assert {text.replace("\n", "") for text in texts} == {"IDR 99" + 10 * ",999" + ".999999"}
        assert all(shown.evaluate_all("all => all.map(each => each.scrollWidth <= each.parentElement.clientWidth)"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_hundred_thousand_rejections_are_a_small_page(
    page: Page, tmp_path: Path, write_partition: WritePartition
) -> None:
    """A part of the rows is searched, the numbers are of all, and the rest is a link away."""
    codes = ("no_identifier", "negative_value", "email_invalid", "phone_invalid")
    rows = [{"reason_code": codes[n % 4], "value": Decimal(n), "currency": "USD"} for n in range(100_000)]
    outputs = make(tmp_path, DAY, *rows, write=write_partition)
    path = path_of(outputs, DAY)
    assert path.stat().st_size < 1_000_000
    page.goto(address(path))
    expect(page.locator("#orders")).to_contain_text("The 3,000 rows worth most, of 100,000")
    expect(page.locator("#reason-no_identifier .orders b")).to_have_text("25,000")
    expect(page.locator("#matched")).to_have_text("1–25 of 3,000")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#matched")).to_have_text("26–50 of 3,000")
    assert page.get_by_role("link", name="CSV").first.get_attribute("href") == f"{DAY}.csv"
