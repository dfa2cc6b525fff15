"""Charts as SVG that stands in a page: pygal draws them, the page's style sheet colours them, light and dark.

Nothing in them runs and nothing is fetched. Each mark says in words what it shows, and the page has a table beside it.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

import pygal
from pygal.style import Style

# pygal looks for maps of countries by an import hook of a kind that Python has given up, and warns of at every import.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not pygal.PluginImportFixer]

_FONT_SIZE = 13
_STYLE = Style(label_font_size=_FONT_SIZE, major_label_font_size=_FONT_SIZE)  # as in the style sheet: labels need room
_WIDTH, _HEIGHT, _ROW = 960, 260, 34
_CHARACTER = 0.0165  # the room of a character in bold at the end of a bar, beside the longest bar
_LETTER, _PLOT = 8, 840  # the width of one below a chart, and of what is between the edges of the narrowest
_MOST_LABELS = 8
_COMMON: dict[str, Any] = {
    "js": [],
    "style": _STYLE,
    "width": _WIDTH,
    "margin": 10,
    "max_scale": 6,
    "truncate_label": -1,
    "show_legend": False,
    "show_minor_x_labels": False,
}
# What pygal adds for its own scripts and themes.
_NEEDLESS = ("defs", "desc", "title")
_NEEDLESS_CLASSES = ("background", "titles", "plot text-overlay", "plot tooltip-overlay")


class Mark(NamedTuple):
    """A bar, a part of one, or a point: its place, its size, and the words that it shows when pointed at."""

    label: str
    value: float
    words: str
    kind: str  # class in the style sheet
    start: float = 0  # where a bar begins
    text: str = ""  # written at its end
    link: str | None = None
    is_flagged: bool = False  # a point is drawn above it


def bars(marks: Sequence[Mark], title: str, *, most: float | None = None) -> str:
    """Bars one below the other, each from its start; the longest possible is ``most``, or the longest that there is."""
    rows = list(reversed(marks))
    longest = max((mark.start + mark.value for mark in rows), default=0)
    room_for_text = _CHARACTER * max((len(mark.text) for mark in rows), default=0)
    chart = pygal.HorizontalStackedBar(
        **_COMMON,
        height=_ROW * len(rows) + 20,
        show_x_labels=False,  # the bars' texts tell their lengths
        range=(0, (1 + room_for_text) * (most or longest or 1)),
    )
    chart.x_labels = chart.x_labels_major = [mark.label for mark in rows]
    chart.add("", [mark.start for mark in rows])
    _add(chart, rows)
    return _finished(chart, title, [[], rows])


def every(labels: Sequence[str]) -> int:
    """How many labels there are to each that can be written below the chart: more would touch each other."""
    width = _LETTER * (max(map(len, labels), default=0) + 2)
    return max(-(-len(labels) // _MOST_LABELS), -(-len(labels) * width // _PLOT))


def columns(
    series: Sequence[Sequence[Mark]], title: str, *, every: int = 1, unit: str = "", line: tuple[int, str] | None = None
) -> str:
    """Columns side by side, each of as many parts as there are series, with every so many labels written.

    ``line`` is drawn before the column of that position, with its text.
    """
    chart = pygal.StackedBar(**_COMMON, height=_HEIGHT, value_formatter=lambda value: f"{_short(value)}{unit}")
    _label(chart, series, every)
    for marks in series:
        _add(chart, marks)
    return _finished(chart, title, series, line)


def lines(series: Sequence[Sequence[Mark]], title: str, *, every: int = 1) -> str:
    """Lines between 0 and 100 %, one for each series; a negative value is a gap."""
    chart = pygal.Line(
        **_COMMON, height=_HEIGHT, range=(0, 100), dots_size=3, value_formatter=lambda value: f"{value:.0f}%"
    )
    _label(chart, series, every)
    for marks in series:
        chart.add("", [mark.value if mark.value >= 0 else None for mark in marks])
    return _finished(chart, title, [[mark for mark in marks if mark.value >= 0] for marks in series])


def _label(chart: Any, series: Sequence[Sequence[Mark]], every: int) -> None:
    chart.x_labels = [mark.label for mark in series[0]]
    chart.x_labels_major = chart.x_labels[::every]


def _add(chart: Any, marks: Sequence[Mark]) -> None:
    chart.add("", [{"value": mark.value, "xlink": mark.link} if mark.link else mark.value for mark in marks])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2g}"


def _finished(chart: Any, title: str, series: Sequence[Sequence[Mark]], line: tuple[int, str] | None = None) -> str:
    """The chart without what pygal adds for its own themes, each mark with its class and its words."""
    svg: Element = chart.render_tree()
    _strip(svg)
    for name in ("id", "xmlns"):
        svg.attrib.pop(name, None)
    svg.set("role", "img")
    svg.set("aria-label", title)
    for number, marks in enumerate(series):
        groups = [group for group in svg.iter("g") if f"serie-{number}" in group.get("class", "").split()]
        for group in groups:
            group.set("class", f"series {marks[0].kind}" if marks else "start")
        shapes = [each for group in groups for each in group.iter() if each.get("class") in ("bar", "dots")]
        for shape, mark in zip(shapes, marks, strict=bool(marks)):
            _tell(shape, mark)
            _tidy(shape, mark)
    if line:
        _draw_line(svg, *line)
    return tostring(svg, encoding="unicode")


def _strip(element: Element) -> None:
    for child in list(element):
        is_comment = not isinstance(child.tag, str)
        if is_comment or child.tag in _NEEDLESS or child.get("class", "") in _NEEDLESS_CLASSES:
            element.remove(child)
        else:
            _strip(child)


def _tell(shape: Element, mark: Mark) -> None:
    """Give the bar or point its class, its words, and what is written beside it."""
    (drawn,) = (each for each in shape.iter() if each.tag in ("rect", "circle"))
    drawn.set("class", f"mark {mark.kind}")
    SubElement(drawn, "title").text = mark.words
    for anchor in shape.iter("a"):
        anchor.attrib.pop("target", None)
        anchor.set("tabindex", "-1")  # the table beside it has the same links, for keys and screen readers
    if mark.text:
        x = float(drawn.get("x", 0)) + float(drawn.get("width", 0)) + 6
        y = float(drawn.get("y", 0)) + float(drawn.get("height", 0)) / 2 + _FONT_SIZE / 3
        SubElement(shape, "text", {"class": "text", "x": f"{x:.1f}", "y": f"{y:.1f}"}).text = mark.text
    if mark.is_flagged:
        x = float(drawn.get("x", 0)) + float(drawn.get("width", 0)) / 2
        SubElement(shape, "circle", {"class": "flag", "cx": f"{x:.1f}", "cy": "6", "r": "3.5"})


def _tidy(shape: Element, mark: Mark) -> None:
    """Leave out what nobody sees: bars of no length, and tenths of a thousandth of a pixel."""
    for parent in list(shape.iter()):
        for child in list(parent):
            if child.tag in ("a", "rect") and not mark.value:
                parent.remove(child)
            for name in ("x", "y", "width", "height", "cx", "cy"):
                if name in child.attrib:
                    child.set(name, f"{float(child.attrib[name]):.1f}")
            for name in ("rx", "ry"):
                child.attrib.pop(name, None)


def _draw_line(svg: Element, position: int, text: str) -> None:
    """A line between two columns, over the whole height."""
    (plot,) = (group for group in svg.iter("g") if group.get("class") == "plot")
    (axis,) = (group for group in plot if group.get("class", "").startswith("axis x"))
    before, after = [float(label.get("x", 0)) for label in axis.iter("text")][position - 1 : position + 1]
    x = (before + after) / 2
    SubElement(plot, "path", {"class": "limit", "d": f"M{x:.1f} -4 V{_HEIGHT - 44}"})
    SubElement(plot, "text", {"class": "limit", "x": f"{x + 6:.1f}", "y": "8"}).text = text
