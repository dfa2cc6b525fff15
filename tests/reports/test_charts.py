"""Charts: a mark for each number, whatever the numbers are, and nothing that runs or is fetched."""

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcapi_dagster.reports.pages import charts
from xcapi_dagster.reports.pages.charts import Mark

values = st.just(0.0) | st.floats(1e-3, 100) | st.integers(1, 10**9).map(float)
# XML cannot have the last two, which no parser takes
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=12
)


def marks_of(svg: str) -> list[str]:
    """What the marks of a chart say, in their order."""
    root = ET.fromstring(svg)
    return [str(mark.findtext("title")) for mark in root.iter() if "mark" in mark.get("class", "").split()]


@settings(max_examples=40, deadline=None)
@given(numbers=st.lists(st.tuples(texts, values), min_size=1, max_size=12), linked=st.booleans())
def test_every_number_has_its_mark(numbers: list[tuple[str, float]], *, linked: bool) -> None:
    """As bars, as columns of two parts and as lines; a bar of no length is left out."""
    marks = [
        Mark(label, value, f"words {at}", "lost", link=f"{at}.html" if linked else None, is_flagged=at == 0)
        for at, (label, value) in enumerate(numbers)
    ]
    seen = [mark.words for mark in marks if mark.value]
    assert marks_of(charts.bars(list(reversed(marks)), "a chart")) == seen
    assert marks_of(charts.columns([marks, marks], "a chart", every=3)) == seen * 2
    assert marks_of(charts.lines([marks], "a chart")) == [mark.words for mark in marks]


@pytest.mark.parametrize("draw", [charts.bars, lambda *given: charts.columns([given[0]], given[1])])
def test_a_chart_is_only_a_picture(draw: object) -> None:
    """No script, no style, no comment, no address but a link's own; hostile words are words."""
    hostile = '"><script>alert(1)</script>&'
    svg = draw([Mark(hostile, 3, hostile, "lost", text=hostile, link="a.html")], hostile)  # type: ignore[operator]
    root = ET.fromstring(svg)
    assert {element.tag for element in root.iter()} <= {"svg", "g", "a", "rect", "path", "text", "title", "circle"}
    assert root.get("aria-label") == hostile
    assert marks_of(svg) == [hostile]
    assert "<!--" not in svg
    assert svg.count("http") == 1  # the namespace of links


@pytest.mark.parametrize("number", [5, 193_727, 4_840_935, 2_000_000_000])
def test_the_text_at_the_end_of_the_longest_bar_is_in_the_picture(number: int) -> None:
    """In bold, of 13 pixels, no character is wider than nine of them."""
    text = f"{number:,} · 100.0%"
    root = ET.fromstring(charts.bars([Mark("Replaced by a newer version", number, "words", "lost", text=text)], "bars"))
    width = float(root.get("viewBox", "").split()[2])
    (at,) = (float(each.get("x", 0)) for each in root.iter("text") if each.get("class") == "text")
    (plot,) = (group.get("transform", "") for group in root.iter("g") if group.get("class") == "plot")
    left = float(plot.removeprefix("translate(").partition(",")[0])
    assert left + at + 9 * len(text) <= width


@pytest.mark.parametrize("label", ["{:010}", "{:010}-00:00", "2026-10-02-13:00 to {:016}"])
@pytest.mark.parametrize("count", [1, 7, 30, 400])
def test_labels_do_not_touch_each_other(label: str, count: int) -> None:
    """Of days, of hours, and of partitions that stand together; no character is wider than eight pixels."""
    names = [label.format(number) for number in range(count)]
    marks = [Mark(name, 1, name, "lost") for name in names]
    for svg in (
        charts.columns([marks], "a chart", every=charts.every(names)),
        charts.lines([marks], "a chart", every=charts.every(names)),
    ):
        (axis,) = (group for group in ET.fromstring(svg).iter("g") if group.get("class", "").startswith("axis x"))
        places = [float(text.get("x", 0)) for text in axis.iter("text") if text.text]
        assert 1 <= len(places) <= 8
        assert all(after - before > 8 * len(names[0]) for before, after in pairwise(places))


def test_the_line_stands_between_its_columns() -> None:
    """The third and the fourth of six, in numbers of their marks."""
    svg = charts.columns([[Mark(str(at), 1, str(at), "lost") for at in range(6)]], "a chart", line=(3, "48 h"))
    root = ET.fromstring(svg)
    edges = [float(mark.get("x", 0)) for mark in root.iter("rect") if "mark" in mark.get("class", "")]
    (line,) = (path.get("d", "") for path in root.iter("path") if path.get("class") == "limit")
    assert edges[2] < float(line.removeprefix("M").split()[0]) < edges[3]


def test_the_same_numbers_are_the_same_bytes() -> None:
    """A re-run writes the same page."""
    marks = [Mark("a", 1, "a", "lost")]
    assert charts.bars(marks, "t") == charts.bars(marks, "t")
    assert charts.columns([marks], "t") == charts.columns([marks], "t")
