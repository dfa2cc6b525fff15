"""Which modules of Dagster definitions can be run, and which of their partitions."""

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from xcapi_dagster import runs
from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.runs import Project, Ran

ASSETS = """
import dagster as dg
from xcapi_dagster import build_x_conversions_assets, from_environment

ASSETS = build_x_conversions_assets(from_environment({}, name="shop"))
"""
MODULES = {
    "a_value": "defs = dg.Definitions(assets=ASSETS)",
    "a_value_by_another_name": "definitions = dg.Definitions(assets=ASSETS)",
    "a_function": "@dg.definitions\ndef all_of_it():\n    return dg.Definitions(assets=ASSETS)",
}

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module beside the user, who may then name it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def written(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    yield written
    own = {path.stem for path in tmp_path.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]


@pytest.mark.parametrize("name", MODULES)
def test_definitions_may_be_a_value_or_a_function(write: Write, name: str) -> None:
    """Whatever Dagster's own commands load, and whatever it is called."""
    project = Project(write(f"loads_{name}", ASSETS + MODULES[name]), "shop")
    assert project.partitions("2026-10-20", "2026-10-22") == ["2026-10-20", "2026-10-21", "2026-10-22"]


@pytest.mark.parametrize(
    ("code", "name", "told"),
    [
        ("defs = 7", "shop", "no `defs`"),
        (ASSETS, "shop", "no `defs`"),
        (ASSETS + MODULES["a_value"], "another", "no assets of an instance called another"),
        ("import no_such_module_at_all", "shop", "there is no module no_such_module_at_all"),
        (
            "from xcapi_dagster import from_environment\nfrom_environment({'X_ADS_PIXEL_ID': 'o8z6j'})",
            "shop",
            "set XCAPI_HOME",
        ),
        ("1 / 0", "shop", r"cannot be loaded: ZeroDivisionError at cannot_be_run\.py:1: division by zero"),
        ("def (", "shop", r"cannot be loaded: SyntaxError .*invalid syntax \(cannot_be_run\.py, line 1\)"),
    ],
)
def test_what_cannot_be_run_is_named(write: Write, code: str, name: str, told: str) -> None:
    """One line that says what is missing."""
    with pytest.raises(ConfigurationError, match=told):
        Project(write("cannot_be_run", code), name)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ("pixel_also_fires: canary", r"pixel_also_fires: Input should be a valid boolean, unable to interpret input$"),
        ("senders: canary", r"senders: Input should be a valid integer, unable to parse string as an integer$"),
        ("pixel_tokken: canary", r"attributes\.pixel_tokken at .*defs\.yaml:3: Extra inputs are not permitted$"),
        ("items: [canary", r"defs\.yaml, line 4: expected ',' or '\]', but got '<stream end>'$"),
    ],
)
def test_wrong_yaml_is_told_in_a_line_without_its_values(
    write: Write, tmp_path: Path, attributes: str, told: str
) -> None:
    """Where it is and what is wrong there; what was written may be a secret."""
    folder = tmp_path / "own" / "defs" / "purchases"
    folder.mkdir(parents=True)
    (tmp_path / "own" / "__init__.py").touch()
    (folder / "defs.yaml").write_text(
        f"type: xcapi_dagster.component.XConversionsComponent\nattributes:\n  {attributes}\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        "[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nroot_module = 'own'\n"
    )
    code = "import dagster as dg, pathlib\ndefs = dg.load_from_defs_folder(path_within_project=pathlib.Path(__file__))"
    with pytest.raises(ConfigurationError, match=told) as raised:
        Project(write("has_wrong_yaml", code), "shop")
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("module", ["", "..shop", "shop/definitions.py", "shop."])
def test_what_is_no_name_of_a_module_is_refused(module: str) -> None:
    """Before anything is imported."""
    with pytest.raises(ConfigurationError, match="is no name of a module"):
        Project(module, "shop")


def test_a_module_that_is_not_there_is_named(write: Write) -> None:
    """By the name that was given."""
    with pytest.raises(ConfigurationError, match="there is no module no_such_project"):
        Project("no_such_project", "shop")


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("2026-10-19", "2026-10-20", "'2026-10-19' is no partition of shop: those that have ended run from 2026-10-20"),
        ("2026-10-20", "yesterday", "'yesterday' is no partition"),
        ("2026-10-22", "2026-10-20", "--from 2026-10-22 is after --to 2026-10-20"),
    ],
)
def test_partitions_that_do_not_exist_are_named(write: Write, first: str, last: str, told: str) -> None:
    """With those that do."""
    project = Project(write("has_partitions", ASSETS + MODULES["a_value"]), "shop")
    with pytest.raises(ConfigurationError, match=told):
        project.partitions(first, last)


def test_of_what_was_synced_the_latest_partitions_are_found(write: Write) -> None:
    """Files of partitions that there are no more, as before the start date was set later or of hours, are none."""
    project = Project(write("has_latest", ASSETS + MODULES["a_value"]), "shop")
    synced = {"2026-10-01", "2026-10-20", "2026-10-22", "2026-10-23", "2026-10-23-05:00+0000"}
    assert project.latest(2, among=synced) == ["2026-10-22", "2026-10-23"]
    assert project.latest(9, among=synced) == ["2026-10-20", "2026-10-22", "2026-10-23"]
    assert project.latest(9, among={"2026-10-23-05:00+0000"}) == []


def test_settings_that_were_copied_in_part_are_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed meanwhile would leave an instance without limits of its pools for ever."""

    def killed(source: Path, target: Path) -> None:
        target.write_text(source.read_text()[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copy", killed)
    with pytest.raises(KeyboardInterrupt):
        runs._give_settings(tmp_path)
    monkeypatch.undo()
    runs._give_settings(tmp_path)
    assert "pools:" in (tmp_path / "dagster.yaml").read_text()


def test_settings_for_which_the_disk_has_no_room_are_named(tmp_path: Path) -> None:
    """In one line, before anything is sent."""
    (tmp_path / ".dagster.yaml").symlink_to("/dev/full")
    with pytest.raises(ConfigurationError) as caught:
        runs._give_settings(tmp_path)
    assert str(caught.value) == f"XCAPI_HOME: {tmp_path}/dagster.yaml cannot be written (No space left on device)"


def test_a_run_that_dagster_cannot_keep_is_told_in_a_line(write: Write, tmp_path: Path) -> None:
    """As on a full disk: whatever the runs before it sent is told all the same. What its database says is kept back."""
    project = Project(write("cannot_be_kept", ASSETS + MODULES["a_value"]), "shop")
    (tmp_path / "kept").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "kept")) as instance:
        with closing(sqlite3.connect(tmp_path / "kept" / "history" / "runs.db")) as connection:
            connection.execute("DROP TABLE runs")
        ran = project.materialize(["2026-10-20"], instance)
    told = "Dagster cannot run 2026-10-20 and write down that it does (NoSuchTableError): look at DAGSTER_HOME, "
    assert ran == Ran({}, (f"{told}or `dagster instance info`, and run it again",), ())
    assert not ran.is_done


def test_a_run_is_followed_to_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends between two looks at its log, each line once."""

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        context.log.info("first")
        context.log.info("last")

    @dg.job
    def job() -> None:
        work()

    told: list[str] = []
    for seconds in (3600.0, 0.01):
        monkeypatch.setattr(runs, "_LOOK_SECONDS", seconds)
        run_id = str(uuid4())
        with dg.DagsterInstance.ephemeral() as instance, runs._followed(run_id, instance, told.append):
            job.execute_in_process(instance=instance, run_id=run_id)
    assert told == ["first", "last"] * 2


def test_a_run_that_waits_for_a_place_in_its_pool_tells(tmp_path: Path) -> None:
    """Another run has it, as one that was killed on another machine may for ever."""

    @dg.op(pool="x_ads_18ce55demo0")
    def work() -> None:
        pass

    @dg.job
    def job() -> None:
        work()

    told: list[str] = []
    limits = {"concurrency": {"pools": {"granularity": "op", "default_limit": 1}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=limits) as instance:
        pools = instance.event_log_storage
        pools.set_concurrency_slots("x_ads_18ce55demo0", 1)
        pools.claim_concurrency_slot("x_ads_18ce55demo0", "another-run", "work")

        def free(line: str) -> None:
            told.append(line)
            pools.free_concurrency_slots_for_run("another-run")

        run_id = str(uuid4())
        with runs._followed(run_id, instance, free):
            job.execute_in_process(instance=instance, run_id=run_id)
    assert told[0] == (
        "Step blocked by limit for pool x_ads_18ce55demo0: in Dagster's UI, Deployment, Concurrency shows its runs, "
        "and frees their places"
    )
