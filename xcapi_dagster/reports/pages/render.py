"""Templates filled in: everything is escaped, and the page may run its own script and nothing else."""

import base64
import hashlib
import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xcapi_dagster.reports.pages import formats
from xcapi_dagster.reports.pages.links import page_link


def render(template: str, **values: Any) -> str:
    """The page that ``template`` makes of the values."""
    return _environment().get_template(template).render(values)


def to_json(value: object) -> Markup:
    """JSON that may stand in a `script` element: nothing in it can end the element, nor a line of script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xcapi_dagster.reports.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["page_link"] = page_link
    environment.filters |= {
        "number": formats.number,
        "points": formats.points,
        "more_currencies": formats.more_currencies,
    }
    for name in ("style.css", "script.js"):
        source = environment.loader.get_source(environment, name)[0].strip()  # type: ignore[union-attr]
        environment.globals[name.partition(".")[0]] = Markup(source)  # noqa: S704 - ours
        environment.globals[f"{name.partition('.')[0]}_hash"] = _hash(source)
    return environment


def _hash(source: str) -> str:
    """As a Content-Security-Policy names a source."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
