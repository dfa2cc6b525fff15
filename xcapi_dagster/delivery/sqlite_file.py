"""Whether a SQLite ledger may be at some path: on a local disk, private to its owner, with room, undamaged."""

import os
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from xcapi_dagster.errors import LedgerError

# What is left free lets the runs under way settle what they have sent.
ROOM_BYTES = 64 * 1024 * 1024

# SQLite would write what is in a -wal file over a backup that is put beside it.
RESTORE = (
    "keep the file, with its -wal and -shm, in another folder, put the newest backup in its place and run "
    "`xcapi ledger accept-restored`"
)
_PERMIT = "give this user the right to write the file and its folder"

# What to do about what SQLite says, by its primary result code.
ADVICE: Mapping[int, str] = {
    sqlite3.SQLITE_FULL: "free some disk space and run again: what was not settled is unknown, not lost",
    sqlite3.SQLITE_READONLY: _PERMIT,
    sqlite3.SQLITE_CANTOPEN: _PERMIT,
    sqlite3.SQLITE_IOERR: "look at its disk, the room on it and the quota: what was not settled is unknown, not lost",
    sqlite3.SQLITE_BUSY: "another process holds it: run again when that has ended",
    sqlite3.SQLITE_CORRUPT: RESTORE,
    sqlite3.SQLITE_NOTADB: RESTORE,
    sqlite3.SQLITE_ERROR: RESTORE,  # the tables are not those that this package made
}

# SQLite's WAL needs memory that all its processes share, and locks that hold: https://sqlite.org/wal.html
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "ncpfs", "beegfs", "gpfs"}
)
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")  # how it writes blanks and backslashes; all else is as it is, in UTF-8
_OTHERS_MAY_WRITE, _STICKY = 0o002, 0o1000
_PATIENCE_SECONDS = 10


def could_be_a_ledger(path: Path) -> bool:
    """Whether ``path`` is a SQLite database that can be written, or could become one."""
    with suppress(OSError):  # this user may not even look
        existing = next(each for each in (path, *path.parents) if each.exists())
        if existing != path:
            return existing.is_dir() and os.access(existing, os.W_OK)
        with path.open("rb") as file:
            return os.access(path, os.W_OK) and file.read(16) in (b"", b"SQLite format 3\0")
    return False


def create(path: Path) -> None:
    """Make an empty file that only its owner can read, unless it is there. Raises LedgerError where none may be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_place(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives -wal and -shm the same mode
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be written ({error.strerror}): check its folder") from None


def check_room(path: Path, needed: int = ROOM_BYTES) -> None:
    """Raises LedgerError when the disk has not ``needed`` bytes left."""
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize < needed:
        raise LedgerError(
            f"the disk of the ledger {path} has less than {needed >> 20} MiB left: free some, nothing was sent"
        )


def check_soundness(path: Path) -> None:
    """Raises LedgerError when the pages of the database at ``path`` do not fit together."""
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    except sqlite3.OperationalError:
        return  # busy, or not to be opened: the first transaction says so in its own words
    except (sqlite3.DatabaseError, UnicodeError) as error:  # the latter when it is the schema's text that is damaged
        found = [str(error)]
    if found != ["ok"]:
        raise LedgerError(f"the ledger {path} is damaged or no SQLite database: {RESTORE}")


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that ``path`` is on, by the lines of Linux's mountinfo; empty where unknown."""
    found, longest = "", -1
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5:
            continue
        point = Path(_OCTAL.sub(lambda escaped: chr(int(escaped[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= longest:  # of two on one point the later is on top
            found, longest = source.split(" ")[0], len(point.parts)
    return found


def is_network(file_system: str) -> bool:
    """Whether another machine may hold files of this type."""
    return file_system in _NETWORK_FILE_SYSTEMS or file_system.startswith("fuse.")


def _check_place(path: Path) -> None:
    if path.is_symlink():
        raise LedgerError(f"the ledger {path} is a link: name the file itself, a link may lead elsewhere tomorrow")
    mode = path.parent.stat().st_mode
    if mode & _OTHERS_MAY_WRITE and not mode & _STICKY:
        raise LedgerError(f"the ledger's folder {path.parent} can be written by everybody: chmod o-w it")
    file_system = file_system_of(path.parent.resolve(), os.fsdecode(_MOUNTS.read_bytes())) if _MOUNTS.exists() else ""
    if is_network(file_system):
        raise LedgerError(
            f"the ledger {path} is on a network file system ({file_system}), where SQLite's locks do not hold: "
            "put it on a local disk or set XCAPI_LEDGER_URL to PostgreSQL"
        )
