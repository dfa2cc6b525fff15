"""`xcapi explain-error`."""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import click
from rich.table import Table

from xcapi_dagster.ads_api.catalogue import EXPLANATIONS, Explanation, Who
from xcapi_dagster.cli.tables import output
from xcapi_dagster.contract import ERROR_MESSAGES, recognize
from xcapi_dagster.conversions.reasons import REASONS, Reason
from xcapi_dagster.errors import ConfigurationError

_ECHOED = re.compile(r"\{\w+\}")
_STATUS = re.compile(r"(?:http )?([345])[0-9]{2}")
_WHO_OF_STAGE: Mapping[str, Who] = {
    "validate": Who.QUERY,
    "consent": Who.QUERY,
    "api": Who.QUERY,
    "delivery": Who.SETUP,
}
_WHO_OF_CODE: Mapping[str, Who] = {
    "consent_denied": Who.NOBODY,
    "forgotten": Who.NOBODY,
    "api_unrecognised": Who.SETUP,
}


@dataclass(frozen=True, slots=True)
class _Told:
    """One error of X's or one reason code, as it is shown; the fields are those of `--json`."""

    code: str
    kind: str
    also_called: list[str]
    statuses: list[int]
    message: str | None
    meaning: str
    fix: str
    who: str
    see_also: list[str]


@click.command("explain-error")
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print an object; without CODE an array of all.")
def explain_error(code: str | None, *, as_json: bool) -> None:
    """Say what an error means, what to do about it, and who must.

    CODE is a code of X's such as UNAUTHORIZED_CLIENT_APPLICATION, a number of X's gateway or an HTTP status such as 89
    or 404, a reason code of the rejection report such as api_event_id, or a message as X worded it. Without CODE all
    are listed.
    """
    told = _everything()
    if code is not None:
        found = _found(code, told)
        click.echo(json.dumps(asdict(found), indent=2) if as_json else _page(found))
    elif as_json:
        click.echo(json.dumps([asdict(each) for each in told], indent=2))
    else:
        output().print(_table(told))


def _everything() -> list[_Told]:
    return [*map(_of_explanation, EXPLANATIONS), *map(_of_reason, REASONS.values())]


def _of_explanation(explanation: Explanation) -> _Told:
    code, *others = explanation.names
    own = {message.name for message in explanation.messages}
    return _Told(
        code=code,
        kind="x",
        also_called=[name for name in others if name.upper() != code],
        statuses=list(explanation.statuses),
        message=" / ".join(_ECHOED.sub("…", message.template) for message in explanation.messages) or None,
        meaning=_sentence(explanation.meaning),
        fix=_sentence(explanation.fix),
        who=explanation.who,
        see_also=[m.name for m in ERROR_MESSAGES if str(m.code) == code and m.name not in own]
        + [f"HTTP {code}" for each in EXPLANATIONS if f"HTTP {code}" in each.names],
    )


def _of_reason(reason: Reason) -> _Told:
    parameter = reason.code.removeprefix("api_")
    return _Told(
        code=reason.code,
        kind="reason",
        also_called=[],
        statuses=[],
        message=None,
        meaning=reason.meaning,
        fix=reason.fix,
        who=_WHO_OF_CODE.get(reason.code, _WHO_OF_STAGE[reason.stage]),
        see_also=[message.name for message in ERROR_MESSAGES if message.parameter == parameter],
    )


def _found(text: str, told: list[_Told]) -> _Told:
    """What ``text`` names: a code, a status or a message; X's codes go before statuses."""
    named = {name.lower(): (name, each) for each in told for name in (each.code, *each.also_called)}
    asked = " ".join(text.lower().split())
    recognized, status = recognize(text), _STATUS.fullmatch(asked)
    for key in (
        asked,
        f"http {asked}",
        recognized[0].name if recognized else "",
        f"http {status[1]}xx" if status else "",
    ):
        if key in named:
            return _called(*named[key])
    close = [named[key][0] for key in difflib.get_close_matches(asked, named, n=1)]
    hint = f"did you mean {close[0]}?" if close else "`xcapi explain-error` lists them all"
    # the text is not shown: a message of X's may hold an identifier
    raise ConfigurationError(f"this is no error that X documents and no reason code; {hint}")


def _called(name: str, told: _Told) -> _Told:
    """``told`` under the one of its names that was asked for."""
    names = [told.code, *told.also_called]
    return replace(told, code=name, also_called=[other for other in names if other != name])


def _sentence(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}."


def _page(told: _Told) -> str:
    statuses = f" (HTTP {' or '.join(map(str, told.statuses))})" if told.statuses and "HTTP" not in told.code else ""
    lines = [
        f"{told.code}{statuses}",
        *(f"  {label:<12}{text}" for label, text in _labelled(told) if text),
    ]
    return "\n".join(lines)


def _labelled(told: _Told) -> list[tuple[str, str | None]]:
    return [
        ("also called", ", ".join(told.also_called)),
        ("X's words", told.message),
        ("meaning", told.meaning),
        ("what to do", told.fix),
        ("who", told.who),
        ("see also", ", ".join(told.see_also)),
    ]


def _table(told: list[_Told]) -> Table:
    table = Table(title="Every error that X documents, and every reason code: ask for one to see what to do")
    table.add_column("code", no_wrap=True)
    table.add_column("meaning")
    table.add_column("who must act")
    for each in told:
        table.add_row(each.code, each.meaning, each.who)
        for name in each.also_called:
            table.add_row(name, f"as {each.code}", "", style="dim")
    return table
