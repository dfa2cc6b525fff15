"""Files are written whole or not at all, where their partition's key says."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from xcapi_dagster.errors import ConfigurationError, XConversionsError
from xcapi_dagster.outputs import Outputs, check_output_url
from xcapi_dagster.parquet import Writer, parquet_file, parquet_writer
from xcapi_dagster.stores import path_of
from xcapi_dagster.writing import to_disk, writable

TABLE = pa.table({"order_id": ["a", "b"]})


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(UPath(tmp_path), "purchases")


@pytest.mark.parametrize(
    ("partition", "name"),
    [("2026-11-01", "2026-11-01"), ("2026-11-01-05:00", "2026-11-01-05%3A00"), ("a/../b", "a%2F..%2Fb")],
)
def test_paths_are_those_of_the_documentation(tmp_path: Path, outputs: Outputs, partition: str, name: str) -> None:
    """`<output>/<name>/<asset>/<partition>.parquet`, with keys percent-encoded."""
    assert str(outputs.path("conversions", partition)) == f"{tmp_path}/purchases/conversions/{name}.parquet"
    assert str(outputs.path("invalid", partition)) == f"{tmp_path}/purchases/conversions/{name}.invalid.parquet"
    assert str(outputs.path("requests", partition)) == f"{tmp_path}/purchases/upload_results/{name}.requests.parquet"
    assert str(outputs.path("rejection_csv", partition)) == f"{tmp_path}/purchases/rejection_report/{name}.csv"


def test_a_table_is_read_back(tmp_path: Path, outputs: Outputs) -> None:
    """What was written is there, and nothing beside it."""
    outputs.write_table("upload_results", "2026-11-01", TABLE)
    path = tmp_path / "purchases" / "upload_results"
    assert pq.read_table(path / "2026-11-01.parquet").equals(TABLE)
    assert [file.name for file in path.iterdir()] == ["2026-11-01.parquet"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, outputs: Outputs) -> None:
    """A block that raises changes nothing and leaves no temporary file."""
    outputs.write_table("conversions", "2026-11-01", TABLE)

    def interrupted() -> None:
        with outputs.writing("conversions", "2026-11-01") as path, parquet_writer(path, TABLE.schema) as writer:
            writer.write_table(TABLE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with parquet_file(outputs.path("conversions", "2026-11-01")) as parquet:
        assert parquet.metadata.num_rows == 2
    assert len(list((tmp_path / "purchases" / "conversions").iterdir())) == 1


def test_a_file_takes_the_place_of_an_older_one_on_windows_too(
    tmp_path: Path, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's documentation of `os.rename`: "On Windows, if dst exists a FileExistsError is always raised"."""
    rename = os.rename

    def as_on_windows(source: Path, target: Path) -> None:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "cannot create a file when that file already exists")
        rename(source, target)

    monkeypatch.setattr(os, "rename", as_on_windows)
    for text in ("old", "new"):
        outputs.write_own("note.json", text)
        outputs.write_text(outputs.overview, text)
    assert outputs.read_own("note.json") == outputs.overview.read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file()) == ["index.html", "note.json"]


def test_a_file_of_the_instance_itself_outlives_a_power_cut(
    tmp_path: Path, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds is on the disk before it takes the place of the older one, and that it did is on the disk then."""
    target, synced, fsync = tmp_path / "purchases" / "ledger.json", list[tuple[str, str | None]](), os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        file = os.fstat(descriptor)
        what = {path.stat().st_ino: path for path in (target.parent, *target.parent.iterdir())}[file.st_ino]
        holds = what.read_text() if what.is_file() else "the folder"
        synced.append((holds, target.read_text() if target.exists() else None))

    monkeypatch.setattr(os, "fsync", watched)
    for text in ("first", "second"):
        outputs.write_own("ledger.json", text)
    assert synced == [("first", None), ("the folder", "first"), ("second", "first"), ("the folder", "second")]
    assert outputs.read_own("ledger.json") == "second"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux has a file system that knows no fsync")
def test_a_file_system_that_cannot_be_asked_is_not_asked() -> None:
    """What is on it is no less whole for that."""
    to_disk(UPath("/proc/self/status"))


def test_conversions_are_private(tmp_path: Path, outputs: Outputs) -> None:
    """The folder with hashed identifiers is closed to others."""
    outputs.write_table("conversions", "2026-11-01", TABLE)
    assert (tmp_path / "purchases" / "conversions").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the place of the folder is one clear line, not a traceback of Arrow's."""
    (tmp_path / "file").write_text("")
    with pytest.raises(XConversionsError, match="XCAPI_OUTPUT_URL"):
        Outputs(UPath(tmp_path / "file"), "purchases").write_table("conversions", "2026-11-01", TABLE)


@pytest.mark.parametrize("setting", ["XCAPI_OUTPUT_URL", "TMPDIR"])
def test_a_disk_that_is_full_is_named(tmp_path: Path, setting: str) -> None:
    """Found out when the file is written, not when it is opened; with the setting that says where it is."""
    outputs = Outputs(UPath(tmp_path), "purchases", setting=setting)

    def write() -> None:
        with outputs.writing("upload_results", "2026-11-01") as path:
            path.symlink_to("/dev/full")
            with parquet_writer(path, TABLE.schema) as writer:
                writer.write_table(TABLE)

    with pytest.raises(
        XConversionsError,
        match=f"{tmp_path}/purchases/upload_results cannot be written .no space left on device.: check {setting}",
    ):
        write()
    assert list((tmp_path / "purchases" / "upload_results").iterdir()) == []


def test_a_disk_that_fills_up_between_two_tables_is_named(tmp_path: Path) -> None:
    """What a thread could not write of the first is raised when the second comes, and nothing is left behind."""
    outputs = Outputs(UPath(tmp_path), "purchases")
    random = pa.table({"order_id": [os.urandom(1000).hex() for _ in range(1000)]})
    written = 0

    def write() -> None:
        nonlocal written
        with outputs.writing("upload_results", "2026-11-01") as path:
            path.symlink_to("/dev/full")
            with parquet_writer(path, random.schema) as writer:
                for _ in range(10):
                    writer.write_table(random)
                    written += 1

    with pytest.raises(XConversionsError, match=r"upload_results cannot be written .no space left"):
        write()
    assert written == 1
    assert list((tmp_path / "purchases" / "upload_results").iterdir()) == []


def test_tables_stand_in_the_order_in_which_they_were_given(outputs: Outputs) -> None:
    """Each is written by a thread, one after the other, and is a row group of its own."""
    tables = [pa.table({"order_id": [f"{number}-{row}" for row in range(5)]}) for number in range(100)]
    with outputs.writing("upload_results", "2026-11-01") as path, parquet_writer(path, TABLE.schema) as writer:
        for table in tables:
            writer.write_table(table)
    with parquet_file(outputs.path("upload_results", "2026-11-01")) as parquet:
        assert parquet.read().equals(pa.concat_tables(tables))
        assert [parquet.read_row_group(at) for at in range(parquet.num_row_groups)] == tables


def test_the_next_table_is_made_while_one_is_written() -> None:
    """Who gives a table does not wait for it, but for the one before."""
    may_write, written = Event(), list[pa.Table]()

    class Slow:
        def write_table(self, table: pa.Table) -> None:
            may_write.wait()
            written.append(table)

    with ThreadPoolExecutor(1) as thread:
        writer = Writer(Slow(), thread)
        writer.write_table(TABLE)
        assert written == []
        may_write.set()
        writer.finish()
    assert written == [TABLE]


def test_another_file_that_is_missing_is_not_blamed_on_the_one_that_is_written(outputs: Outputs) -> None:
    """What a block reads while it writes."""
    with (
        pytest.raises(FileNotFoundError, match=r"conversions/2026-11-01\.parquet"),
        outputs.writing("upload_results", "2026-11-01") as path,
        parquet_writer(path, TABLE.schema) as writer,
        parquet_file(outputs.path("conversions", "2026-11-01")) as parquet,
    ):
        writer.write_table(parquet.read())


def test_object_stores_are_written_alike() -> None:
    """The same through fsspec: the temporary name is gone, the file is whole."""
    outputs = Outputs(UPath("memory://bucket/out"), "purchases")
    outputs.write_table("upload_results", "2026-11-01", TABLE)
    with parquet_file(outputs.path("upload_results", "2026-11-01")) as parquet:
        assert parquet.read().equals(TABLE)
    assert len(list(UPath("memory://bucket/out/purchases/upload_results").iterdir())) == 1


@pytest.mark.parametrize(
    "url",
    [
        "memory://bucket/canary",  # which ends with the process
        "http://canary-user:canary-pass@127.0.0.1/out",
        "hdfs://canary/out",
        "ftp://canary-user:canary-pass@127.0.0.1/out",
        "sftp://canary-user:canary-pass@127.0.0.1/out",
        "webdav+https://canary-user:canary-pass@127.0.0.1/out",
        "data:,canary",
        "simplecache::s3://canary/out",
        "zip://out::file:///canary.zip",
        "local:///canary",
        "s3:/canary",
        "file://canary/out",  # which would depend on where a process was started
        "file://canary-user:canary-pass@host/out",
    ],
)
def test_a_place_that_is_neither_a_folder_nor_an_object_store_is_refused(url: str) -> None:
    """By the check and by whatever is about to use it, in one line that shows nothing of the URL."""
    for use in (check_output_url, lambda url: path_of(url, "XCAPI_OUTPUT_URL")):
        with pytest.raises(ConfigurationError, match=r"^XCAPI_OUTPUT_URL is neither a folder .*s3://") as raised:
            use(url)
        assert "canary" not in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("folder", ["out", "./out", "../out", "~/out", ""])
def test_a_folder_is_told_from_the_root(folder: str) -> None:
    """By the check and by whatever is about to use it: a process that Dagster starts elsewhere would find another."""
    for use in (check_output_url, lambda url: path_of(url, "XCAPI_OUTPUT_URL")):
        with pytest.raises(ConfigurationError, match=r"^XCAPI_OUTPUT_URL must be an absolute path"):
            use(folder)


@pytest.mark.parametrize("name", ["out", "a::b", "what?", "a%20b", "a#b", "of user@host"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Plain or after `file://` it is the same, and has what was written to it."""
    for url in (f"{tmp_path}/{name}", f"file://{tmp_path}/{name}"):
        check_output_url(url)
        Outputs(path_of(url, "XCAPI_OUTPUT_URL"), "purchases").write_table("upload_results", "2026-11-01", TABLE)
        written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
        assert written == [Path(name) / "purchases" / "upload_results" / "2026-11-01.parquet"]


@pytest.mark.parametrize("at", [0, 1000, -200])
def test_a_damaged_file_is_told_of(outputs: Outputs, at: int) -> None:
    """Wherever it is not as it was written: which file, and what to do."""
    outputs.write_table("conversions", "2026-11-01", pa.table({"order_id": [f"order {n**7}" for n in range(1000)]}))
    path = Path(outputs.path("conversions", "2026-11-01").path)
    content = bytearray(path.read_bytes())
    content[at : at + 100 if at >= 0 else None] = bytes(100 if at >= 0 else -at)
    path.write_bytes(content)

    def read() -> None:
        with parquet_file(UPath(path)) as parquet:
            parquet.read_row_group(0)
            parquet.read()

    with pytest.raises(XConversionsError) as raised:
        read()
    assert str(raised.value) == f"{path} is damaged: sync that partition again"


def test_a_file_that_cannot_be_opened_is_told_of(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one in the folder of conversions, which is its owner's alone; one that is not there is another matter."""
    path = outputs.path("conversions", "2026-11-01")
    with pytest.raises(FileNotFoundError), parquet_file(path):
        pass
    outputs.write_table("conversions", "2026-11-01", TABLE)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(type(path), "open", refuse)
    told = pytest.raises(XConversionsError, match=r"2026-11-01\.parquet cannot be read \(access is denied\)$")
    with told, parquet_file(path):
        pass


def test_a_full_disk_does_not_hide_what_went_wrong() -> None:
    """What is thrown away cannot be written either."""

    def write() -> None:
        with writable(Path("/dev/full")) as file:
            file.write(b"something")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
