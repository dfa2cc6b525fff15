"""`xcapi tags` from outside: a real server, what is printed where, and the exit status."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner, Result

from xcapi_dagster.ads_api.tag_plan import wanted_tags
from xcapi_dagster.cli import main
from xcapi_dagster.cli.tags import tags
from xcapi_dagster.event_tags import CHECKS, READABLE
from xcapi_dagster.sandbox import (
    DEMO_ACCESS_TOKEN,
    DEMO_ACCESS_TOKEN_SECRET,
    DEMO_ACCOUNT_ID,
    DEMO_CONSUMER_KEY,
    DEMO_CONSUMER_SECRET,
    DEMO_PIXEL_TOKEN,
    Sandbox,
    one_pixel_world,
)
from xcapi_dagster.sandbox import EventTag as SandboxTag
from xcapi_dagster.settings import VARIABLES

EVIL = "Evil \x1b[31m[red]name[/]"
TAGS = (
    SandboxTag("o87ne", "ny87n", "Purchase", "PURCHASE", 30, 1),
    SandboxTag("osign", "nysig", "Sign-up", "SIGN_UP", 90, 60, retargeting_enabled=True, last_tracked_at=1.7e9),
    SandboxTag("oevil", "nyevi", EVIL, "CUSTOM", 7, 0),
    SandboxTag("ogone", "nygon", "Gone", "CUSTOM", 7, 0, deleted=True),
)
OPTIONS = [
    "--name",
    "New one",
    "--type",
    "DOWNLOAD",
    "--click-window",
    "14",
    "--view-through-window",
    "7",
    "--retargeting",
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(one_pixel_world(DEMO_ACCOUNT_ID, "odemo1", ("o87ne",), TAGS)) as sandbox:
        yield sandbox


@pytest.fixture
def environ(sandbox: Sandbox) -> dict[str, str]:
    """All that `xcapi tags` needs: no pixel, no event, no warehouse."""
    return {
        "X_ADS_API_URL": sandbox.url,
        "X_ADS_ACCOUNT_ID": DEMO_ACCOUNT_ID,
        "X_ADS_CONSUMER_KEY": DEMO_CONSUMER_KEY,
        "X_ADS_CONSUMER_SECRET": DEMO_CONSUMER_SECRET,
        "X_ADS_ACCESS_TOKEN": DEMO_ACCESS_TOKEN,
        "X_ADS_ACCESS_TOKEN_SECRET": DEMO_ACCESS_TOKEN_SECRET,
    }


@pytest.fixture
def xcapi(environ: dict[str, str]) -> Callable[..., Result]:
    """Runs `xcapi tags` where nobody is at the terminal."""

    def run(*arguments: str, **changes: str | None) -> Result:
        settings = dict.fromkeys(VARIABLES.values()) | environ | changes
        return CliRunner().invoke(main, ["tags", *arguments], env=settings)

    return run


def test_a_list_for_scripts_is_an_array(xcapi: Any) -> None:
    """Every tag as X has it, nothing else on standard output; windows that only Events Manager has are shown."""
    done = xcapi("list", "--json")
    assert done.exit_code == 0, done.stderr
    first, second, third = json.loads(done.stdout)
    assert [tag["id"] for tag in (first, second, third)] == ["o87ne", "osign", "oevil"]
    assert (second["click_window"], second["view_through_window"], second["status"]) == (90, 60, "TRACKING")
    assert third["name"] == EVIL


def test_a_list_for_people_explains(xcapi: Any) -> None:
    """Both ids, X's interface's names, the long windows; and a name cannot change the terminal."""
    done = xcapi("list")
    assert done.exit_code == 0
    for shown in (
        "o87ne",
        "ny87n",
        "SIGN_UP (“Lead”)",
        "90 d",
        "days ago",
        "X's API cannot write them",
        "Events Manager",
    ):
        assert shown in done.stdout
    assert "\x1b" not in done.stdout
    assert "[red]name[/]" in done.stdout


def test_a_list_of_some_ids(xcapi: Any) -> None:
    """Either form of an id; what X does not list is said, on standard error."""
    done = xcapi("list", "--json", "--ids", "o87ne,tw-odemo1-osign", "--ids", "onone", "--with-total-count")
    assert [tag["id"] for tag in json.loads(done.stdout)] == ["o87ne", "osign"]
    assert "none with the id onone" in done.stderr
    assert "X counts 2" in done.stderr
    assert [tag["id"] for tag in json.loads(xcapi("list", "--json", "--with-deleted").stdout)][-1] == "ogone"


def test_show(xcapi: Any) -> None:
    """One object, or everything as a table; a deleted one only when that is wanted."""
    assert json.loads(xcapi("show", "o87ne", "--json").stdout)["website_tag_id"] == "ny87n"
    assert "twttr.conversion.trackPid" in xcapi("show", "o87ne").stdout
    gone = xcapi("show", "ogone")
    assert (gone.exit_code, gone.stdout) == (2, "")
    assert "18ce55demo0 has no event tag ogone, or it is deleted" in gone.stderr
    assert json.loads(xcapi("show", "ogone", "--with-deleted", "--json").stdout)["deleted"] is True


def test_create_update_delete(xcapi: Any) -> None:
    """What is made is there, what is changed is changed, what is deleted is gone."""
    made = json.loads(xcapi("create", *OPTIONS, "--json").stdout)
    assert (made["name"], made["type"], made["click_window"], made["view_through_window"]) == (
        "New one",
        "DOWNLOAD",
        14,
        7,
    )
    assert made["retargeting_enabled"] is True
    changed = json.loads(xcapi("update", made["id"], "--type", "CUSTOM", "--no-retargeting", "--json").stdout)
    assert changed == made | {"type": "CUSTOM", "retargeting_enabled": False}
    deleted = json.loads(xcapi("delete", made["id"], "--yes", "--json").stdout)
    assert deleted == changed | {"deleted": True}
    assert made["id"] not in xcapi("list").stdout


def test_nothing_is_deleted_where_nobody_can_be_asked(xcapi: Any, sandbox: Sandbox) -> None:
    """Status 2 and no request at all, whatever stands on standard input."""
    done = CliRunner().invoke(main, ["tags", "delete", "o87ne"], input="y\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert xcapi("delete", "o87ne").exit_code == 2
    assert sandbox.requests == []


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 2), ("n\n", 1, 3)])
def test_at_a_terminal_a_deletion_asks(
    environ: dict[str, str], xcapi: Any, answer: str, status: int, left: int, tmp_path: Path
) -> None:
    """The tag is shown first, and an answer other than yes leaves it."""
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "xcapi_dagster.cli", "tags", "delete", "o87ne"]
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | environ
    with subprocess.Popen(
        command, env=whole, stdin=other_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        os.write(terminal, answer.encode())
        out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    assert b"ny87n" in err
    assert bool(out) == (status == 0)
    assert len(json.loads(xcapi("list", "--json").stdout)) == left


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", *OPTIONS[:4], "--click-window", "60", *OPTIONS[6:]], "Events Manager can set it, X's API cannot"),
        (["create", *OPTIONS[:2], "--type", "Page view", *OPTIONS[4:]], "SITE_VISIT"),
        (["create", *OPTIONS[:2], "--type", "Lead", *OPTIONS[4:]], "SIGN_UP"),
        (["create", "--name", " ", *OPTIONS[2:]], "name must not be empty"),
        (["create", "--name", "x"], "needs type, click window, view through window and retargeting enabled"),
        (["create", *OPTIONS[:4], "--click-window", "1", *OPTIONS[6:]], "at most the click window"),
        (["update", "o87ne"], "nothing to change"),
        (["update", "O87NE", "--name", "x"], "no event tag's id"),
        (["show", "../accounts"], "no event tag's id"),
        (["list", "--ids", ",".join(["o1"] * 201)], "at most 200 ids at once, not 201"),
        (["list", "--count", "0"], "from 1 to 1000"),
        (["list", "--sort-by", "name"], "-asc or -desc"),
    ],
)
def test_wrong_input_is_one_line_and_no_request(xcapi: Any, sandbox: Sandbox, arguments: list[str], words: str) -> None:
    """Status 2, in the user's words."""
    done = xcapi(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X_ADS_ACCOUNT_ID": None}, "set X_ADS_ACCOUNT_ID"),
        ({"X_ADS_ACCESS_TOKEN": None}, "set X_ADS_ACCESS_TOKEN"),
        ({"X_ADS_API_URL": "http://ads-api.x.com"}, "X_ADS_API_URL must begin with https"),
        ({"X_ADS_CONSUMER_SECRET": "canary-secret"}, "does not accept the credentials"),
        ({"X_ADS_ACCOUNT_ID": "18ce55other"}, "X_ADS_ACCOUNT_ID"),
    ],
)
def test_wrong_settings_are_one_line(xcapi: Any, changes: dict[str, str | None], words: str) -> None:
    """Status 2, no secret."""
    done = xcapi("list", "--json", **changes)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "canary" not in done.stderr


def test_a_pixel_token_is_told_to_be_the_wrong_key(xcapi: Any, environ: dict[str, str]) -> None:
    """It can only send conversions; all four of OAuth 1.0a are named."""
    without = {name: None for name in environ if "TOKEN" in name or "CONSUMER" in name}
    done = xcapi("list", **without, X_ADS_PIXEL_TOKEN=DEMO_PIXEL_TOKEN)
    assert done.exit_code == 2
    assert "OAuth 1.0a: X_ADS_PIXEL_TOKEN can only send conversions" in done.stderr
    assert all(name in done.stderr for name in without)


def test_a_network_that_is_down_is_status_1(xcapi: Any) -> None:
    """Nothing is wrong with the command."""
    done = xcapi("list", X_ADS_API_URL="http://127.0.0.1:1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "refuses connections" in done.stderr


def test_a_create_whose_answer_is_lost_makes_one(xcapi: Any, sandbox: Sandbox) -> None:
    """The sandbox makes the tag and closes the connection: it is found, and made once."""
    sandbox.script([{"match": {"request": 1}, "do": {"drop": "after"}}])
    done = xcapi("create", *OPTIONS, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "New one"
    assert [request.method for request in sandbox.requests] == ["POST", "GET"]
    assert len(json.loads(xcapi("list", "--json").stdout)) == 4


@pytest.mark.slow
def test_without_anything_it_is_the_demo(tmp_path: Path) -> None:
    """The demo's event tags, and a word that they are."""
    command = [sys.executable, "-m", "xcapi_dagster.cli", "tags", "list", "--json"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert [tag["id"] for tag in json.loads(done.stdout)] == ["opurch1", "osignup"]
    assert "demo" in done.stderr


# The plan


NAMES = ("name", "type", "click_window", "view_through_window", "retargeting_enabled", "id")
WANTED = [
    dict(zip(NAMES, values, strict=False))
    for values in (
        ("Purchase", "PURCHASE", 30, 1, False),
        ("It's new", "CUSTOM", 7, 0, True),
        ("Sign-ups", "SIGN_UP", 30, 1, True, "nysig"),
    )
]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of definitions, without `dg`, whose instance asks for three event tags."""
    lines = [
        "import os",
        "import dagster as dg",
        "from xcapi_dagster import build_x_conversions_assets, from_environment",
        f"settings = from_environment(os.environ, home={str(tmp_path)!r}, warehouse_url='duckdb:////none.duckdb',",
        "    pixel_also_fires=False, pixel_id='odemo1', event_id='o87ne')",
        f"defs = dg.Definitions(assets=build_x_conversions_assets(settings, event_tags={WANTED!r}))",
    ]
    name = f"definitions_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_plan_shows_what_differs_and_changes_nothing(xcapi: Any, sandbox: Sandbox, module: str) -> None:
    """One is as it should be, one is to be made, one differs; the commands that would do it are shown."""
    done = xcapi("plan", "-m", module, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["account_id"] == DEMO_ACCOUNT_ID
    assert [(each["name"], each["action"], each["ids"]) for each in told["event_tags"]] == [
        ("Purchase", "none", ["o87ne"]),
        ("It's new", "create", []),
        ("Sign-ups", "update", ["osign"]),
    ]
    assert told["event_tags"][2]["changes"] == {
        "name": {"is": "Sign-up", "should_be": "Sign-ups"},
        "click_window": {"is": 90, "should_be": 30},
        "view_through_window": {"is": 60, "should_be": 1},
    }
    assert {request.method for request in sandbox.requests} == {"GET"}
    assert xcapi("plan", "-m", module, "--exit-code").exit_code == 1


def test_the_commands_of_a_plan_do_it(xcapi: Any, module: str) -> None:
    """They are complete and quoted: afterwards nothing is left to do."""
    shown = [line for line in xcapi("plan", "-m", module).stdout.splitlines() if line.startswith("xcapi tags ")]
    assert len(shown) == 2
    for line in shown:
        done = xcapi(*split(line))
        assert done.exit_code == 0, done.stderr
    assert xcapi("plan", "-m", module, "--exit-code").exit_code == 0


def test_a_plan_asks_as_the_instance_does(
    xcapi: Any, environ: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    """An instance with a prefix has an address, an account and credentials of its own; the commands shown do not."""
    name = f"prefixed_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "import dagster as dg\n"
        "from xcapi_dagster import XConversionsComponent\n"
        f"defs = XConversionsComponent(name='eu', prefix='EU', event_tags={WANTED!r}).build_defs(None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = {f"EU_{variable}": value for variable, value in environ.items()} | {
        "EU_X_ADS_PIXEL_ID": "odemo1",
        "EU_X_ADS_EVENT_ID": "o87ne",
        "XCAPI_HOME": str(tmp_path),
        "XCAPI_WAREHOUSE_URL": "duckdb:////none.duckdb",
        "XCAPI_PIXEL_ALSO_FIRES": "false",
    }
    others = {"X_ADS_API_URL": "http://127.0.0.1:9", "X_ADS_ACCOUNT_ID": "another"}
    for variable, value in (own | others).items():  # the module reads them when it is loaded
        monkeypatch.setenv(variable, value)
    done = xcapi("plan", "-m", name, "--name", "eu", **own, **others)
    assert done.exit_code == 0, done.output
    assert "Purchase" in done.stdout
    assert done.stderr.endswith("set X_ADS_… in it to what eu has first.\n")


def split(line: str) -> list[str]:
    """What follows `xcapi tags` in a command line, as a shell takes it."""
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[2:]


# What the documentation shows


DOCS = (Path(__file__).parents[2] / "docs" / "event_tags.md").read_text(encoding="utf-8")
SHOWN = [line.removeprefix("$ xcapi tags ") for line in DOCS.splitlines() if line.startswith("$ xcapi tags ")]


@pytest.mark.parametrize("line", SHOWN)
def test_every_shown_command_exists(line: str) -> None:
    """Each command line of the documentation is understood, with its options and arguments."""
    name, *arguments = shlex.split(line)
    shown = tags.commands[name]
    with shown.make_context(name, arguments) as context:
        assert context.command is shown


def test_the_yaml_block_is_what_the_component_takes() -> None:
    """The documented entries are event tags that X would take."""
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    entries = yaml.safe_load(block)["attributes"]["event_tags"]
    assert [wanted.as_entry() for wanted in wanted_tags(entries)] == entries


def test_every_check_is_documented() -> None:
    """With its severity, in the order in which Dagster shows them."""
    rows = re.findall(r"^\| `(\w+)` \| (warning|error) \|", DOCS, re.MULTILINE)
    severities = {"warning": dg.AssetCheckSeverity.WARN, "error": dg.AssetCheckSeverity.ERROR}
    assert rows[0] == (READABLE, "warning")
    assert {name: severities[word] for name, word in rows[1:]} == {name: each[0] for name, each in CHECKS.items()}
