"""The files on an object store: whole or none, whoever is killed, and no bucket is ever made."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from xcapi_dagster.errors import ConfigurationError, XConversionsError
from xcapi_dagster.outputs import Outputs, check_output_url
from xcapi_dagster.parquet import parquet_file, parquet_writer
from xcapi_dagster.stores import path_of
from xcapi_dagster.writing import writable

DAY = "2026-11-01"
TABLE = pa.table({"order_id": ["a", "b"]})

WRITE_UNTIL_KILLED = """
import sys
import numpy as np
import pyarrow as pa
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.parquet import parquet_writer
from xcapi_dagster.stores import path_of

outputs = Outputs(path_of(sys.argv[1], "XCAPI_OUTPUT_URL"), "purchases")
noise = np.random.default_rng(1)
schema = pa.schema([("noise", pa.int64())])
with outputs.writing("conversions", "2026-11-01") as path, parquet_writer(path, schema) as writer:
    for _ in range(8):
        writer.write_table(pa.table([noise.integers(0, 2**62, 1 << 20)], schema=schema))
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def outputs(bucket: str) -> Outputs:
    return Outputs(path_of(f"{bucket}/out", "XCAPI_OUTPUT_URL"), "purchases")


def objects(bucket: str) -> list[str]:
    """Every object of the bucket, hidden ones too."""
    return [name.removeprefix(bucket.removeprefix("s3://")) for name in S3FileSystem().find(bucket, refresh=True)]


def test_a_table_is_read_back(bucket: str, outputs: Outputs) -> None:
    """What was written is there, where the documentation says, and nothing beside it."""
    outputs.write_table("upload_results", DAY, TABLE)
    outputs.write_table("upload_results", DAY, TABLE)

    with parquet_file(outputs.path("upload_results", DAY)) as parquet:
        assert parquet.read().equals(TABLE)
    assert objects(bucket) == [f"/out/purchases/upload_results/{DAY}.parquet"]


def test_a_file_that_another_process_wrote_anew_is_seen(bucket: str, outputs: Outputs) -> None:
    """Nothing of the older file is remembered, though it was listed."""
    outputs.write_table("upload_results", DAY, TABLE)
    assert [path.name for path in outputs.path("upload_results", DAY).parent.iterdir()] == [f"{DAY}.parquet"]
    other = S3FileSystem(skip_instance_cache=True)
    larger = pa.table({"order_id": [str(n) for n in range(10_000)]})
    with other.open(str(outputs.path("upload_results", DAY)), "wb") as file:
        pq.write_table(larger, file)

    with parquet_file(outputs.path("upload_results", DAY)) as parquet:
        assert parquet.read().equals(larger)


def test_an_interrupted_write_leaves_the_old_file(bucket: str, outputs: Outputs) -> None:
    """A block that raises changes nothing; not even a hidden object holds the part that was written."""
    outputs.write_table("conversions", DAY, TABLE)
    seen: list[list[str]] = []

    def interrupted() -> None:
        with outputs.writing("conversions", DAY) as path:
            try:
                with parquet_writer(path, TABLE.schema) as writer:
                    writer.write_table(TABLE)
                    raise KeyboardInterrupt
            finally:
                seen.append(objects(bucket))

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert seen == [[f"/out/purchases/conversions/{DAY}.parquet"]]
    with parquet_file(outputs.path("conversions", DAY)) as parquet:
        assert parquet.read().equals(TABLE)


def test_a_text_file_is_written_alike(bucket: str) -> None:
    """Half a CSV never becomes an object."""
    path = path_of(f"{bucket}/report.csv", "XCAPI_OUTPUT_URL")

    def interrupted() -> None:
        with writable(path) as file:
            file.write(b"order_id\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert objects(bucket) == []
    with writable(path) as file:
        file.write(b"order_id\n")
    assert path.read_bytes() == b"order_id\n"


@pytest.mark.slow
def test_a_killed_writer_leaves_no_half_file(bucket: str, outputs: Outputs) -> None:
    """After 64 MB, of which a part is uploaded, it is killed: the old file stays, and no other can be read."""
    outputs.write_table("conversions", DAY, TABLE)
    command = [sys.executable, "-c", WRITE_UNTIL_KILLED, f"{bucket}/out"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()

    name = bucket.removeprefix("s3://")
    assert len(S3FileSystem().call_s3("list_multipart_uploads", Bucket=name)["Uploads"]) == 1
    assert objects(bucket) == [f"/out/purchases/conversions/{DAY}.parquet"]
    with parquet_file(outputs.path("conversions", DAY)) as parquet:
        assert parquet.read().equals(TABLE)


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named_and_not_made() -> None:
    """Neither the check nor a write creates it."""
    url = "s3://no-such-bucket/out"

    with pytest.raises(ConfigurationError, match=r"^XCAPI_OUTPUT_URL: the bucket no-such-bucket cannot be used: "):
        check_output_url(url)
    with pytest.raises(XConversionsError, match="XCAPI_OUTPUT_URL"):
        Outputs(path_of(url, "XCAPI_OUTPUT_URL"), "purchases").write_table("conversions", DAY, TABLE)

    assert not S3FileSystem(skip_instance_cache=True).exists("s3://no-such-bucket")


def test_a_bucket_that_is_there_passes_the_check(bucket: str) -> None:
    """With and without a folder in it; nothing is written by the check."""
    check_output_url(bucket)
    check_output_url(f"{bucket}/some/where")

    assert objects(bucket) == []


@pytest.mark.usefixtures("bucket")
def test_missing_credentials_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line without the address of the store."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    S3FileSystem.clear_instance_cache()

    with pytest.raises(ConfigurationError, match="XCAPI_OUTPUT_URL: the bucket some cannot be used: no credentials"):
        check_output_url("s3://some/where")

    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("s3://bucket/out", "s3fs", "s3"),
        ("gs://bucket/out", "gcsfs", "gcs"),
        ("az://container/out", "adlfs", "azure"),
        ("abfss://container@account.dfs.core.windows.net/out", "adlfs", "azure"),
    ],
)
def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError, match=rf"XCAPI_OUTPUT_URL is of .*pip install 'xcapi-dagster\[{extra}\]'"):
        check_output_url(url)


@pytest.mark.parametrize("url", ["s3://", "s3:///out", "ftps://host/out"])
def test_a_url_without_a_bucket_is_refused(url: str) -> None:
    """The message shows the form."""
    with pytest.raises(ConfigurationError, match=r"^XCAPI_OUTPUT_URL "):
        check_output_url(url)


def test_what_is_there_is_listed_and_read(bucket: str, outputs: Outputs) -> None:
    """Partitions by their keys, and files of the instance itself; nothing where there is nothing."""
    assert (outputs.partitions("conversions"), outputs.read_own("ledger.json")) == ([], None)
    for key in ("2026-11-02", "2026-11-01-05:00"):
        outputs.write_table("conversions", key, TABLE)
    outputs.write_own("ledger.json", "{}")

    assert outputs.partitions("conversions") == ["2026-11-01-05:00", "2026-11-02"]
    assert outputs.read_own("ledger.json") == "{}"


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
def test_a_store_that_does_not_answer_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a ledger was lost is known by a file: that it cannot be read must not look as if there were none."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    outputs = Outputs(path_of("s3://bucket/out", "XCAPI_OUTPUT_URL"), "purchases")

    with pytest.raises(XConversionsError, match=r"cannot be read \(it does not answer as it should"):
        outputs.read_own("ledger.json")
    with pytest.raises(XConversionsError, match=r"cannot be read \(it does not answer as it should"):
        outputs.partitions("conversions")

    S3FileSystem.clear_instance_cache()
