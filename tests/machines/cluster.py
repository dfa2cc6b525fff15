"""Several machines on one: Redis, PostgreSQL for Dagster and for the ledger, and Celery workers that take its runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import redis

from tests.ports import reserved_port

BIN = Path(sys.executable).parent
PROJECT = "dagster_project.definitions"
DAGSTER_YAML = Path(__file__).parents[2] / "docs" / "celery" / "dagster.yaml"
_QUEUE = "dagster"


@dataclass
class Cluster:
    """A Dagster instance whose runs are started by Celery workers; ``environ`` leads any process to it."""

    environ: Mapping[str, str]
    workers: list[subprocess.Popen[bytes]]

    def backfill(self, partitions: Sequence[str]) -> None:
        """Put a run for each partition into Dagster's queue."""
        told = ["--job", "purchases_daily", "--partitions", ",".join(partitions), "--noprompt", "-m", PROJECT]
        command = [str(BIN / "dagster"), "job", "backfill", *told]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def xcapi(self, *arguments: str) -> str:
        """What one of our commands prints."""
        command = [str(BIN / "xcapi"), *arguments]
        return subprocess.run(command, env=self.environ, check=True, capture_output=True, text=True).stdout

    def kill(self, worker: int) -> None:
        """End a worker as a power cut does."""
        self.workers[worker].send_signal(signal.SIGKILL)
        self.workers[worker].wait()

    def logs(self) -> str:
        """The last words of the daemon and of each worker."""
        files = sorted(Path(self.environ["DAGSTER_HOME"]).parent.glob("*.log"))
        return "\n".join(f"{file.name}: {file.read_text()[-1500:]}" for file in files)

    def runs(self) -> dict[str, dg.DagsterRunStatus]:
        """The state of each partition's latest run."""
        with dg.DagsterInstance.from_config(self.environ["DAGSTER_HOME"]) as instance:
            newest_first = instance.get_runs()
        return {run.tags["dagster/partition"]: run.status for run in reversed(newest_first)}


@contextmanager
def running_cluster(folder: Path, database_url: str, environ: Mapping[str, str], workers: int) -> Iterator[Cluster]:
    """A cluster that runs as long as the block, with the project's settings from ``environ``."""
    home = folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    with _redis(folder) as redis_url:
        told = {
            **os.environ,
            **environ,
            "DAGSTER_HOME": str(home),
            "DAGSTER_DATABASE_URL": database_url.replace("postgresql://", "postgresql+psycopg2://"),
            "CELERY_URL": redis_url,
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        os.environ |= {name: told[name] for name in ("DAGSTER_DATABASE_URL", "CELERY_URL")}
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_asset_keys(limit=1)  # the tables: two processes that make them at once fail
        started = [_worker(folder, told, number) for number in range(workers)]
        daemon = _in_background([str(BIN / "dagster-daemon"), "run", "-m", PROJECT], told, folder / "daemon.log")
        try:
            yield Cluster(told, started)
        finally:
            daemon.terminate()  # not killed: it ends its own code server
            for worker in started:
                worker.kill()
            for process in (daemon, *started):
                process.wait()


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    with reserved_port() as port:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(lambda: _answers(port))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port).ping())
    except redis.ConnectionError:
        return False


def _worker(folder: Path, environ: Mapping[str, str], number: int) -> subprocess.Popen[bytes]:
    """A Celery worker that takes one run at a time, in its own process."""
    app = ["celery", "-A", "dagster_celery.app", "worker", "--pool", "solo", "--queues", _QUEUE]
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING", "--hostname", f"worker{number}@%h"]
    return _in_background([str(BIN / app[0]), *app[1:], *quiet], environ, folder / f"worker{number}.log")


def _in_background(command: Sequence[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, env=environ, stdout=output, stderr=output, cwd=DAGSTER_YAML.parent)


def until(is_so: Callable[[], bool], *, seconds: float = 600, state: Callable[[], object] = str) -> None:
    """Return when ``is_so``; raises TimeoutError with the ``state`` when it never is.

    The time is for a machine of any speed that does other work too: it ends a test that hangs, it measures nothing.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {seconds} s: {state()}")
        time.sleep(0.1)
