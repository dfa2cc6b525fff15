"""Where a SQLite ledger may be, and what is said of one that is damaged or has no room."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from xcapi_dagster.delivery import sqlite_file
from xcapi_dagster.delivery.database import Database
from xcapi_dagster.errors import LedgerError

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /srv/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/bucket rw - fuse.s3fs s3fs rw
33 22 0:42 / /mnt/share rw - cifs //server/share rw
34 33 8:3 / /mnt/share rw - ext4 /dev/sdc1 rw
35 22 0:43 / /mnt/büro\\134daten rw - nfs rechner:/büro rw
not a line of a mount
"""


@pytest.mark.parametrize(
    ("path", "file_system"),
    [
        ("/var/lib/xcapi", "ext4"),
        ("/srv/xcapi", "nfs4"),
        ("/srv/local disk/xcapi", "xfs"),
        ("/srvice", "ext4"),
        ("/mnt/büro\\daten/xcapi", "nfs"),
        ("/mnt/bucket", "fuse.s3fs"),
        ("/mnt/share/ledger", "ext4"),  # what was mounted later is on top
    ],
)
def test_the_file_system_is_the_innermost_mount_s(path: str, file_system: str) -> None:
    """A path belongs to the longest mount point that leads to it, by whole names."""
    assert sqlite_file.file_system_of(Path(path), MOUNTS) == file_system


@pytest.mark.parametrize("file_system", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.s3fs", "9p", "ceph"])
def test_network_file_systems_are_known(file_system: str) -> None:
    """SQLite's locks do not hold there."""
    assert sqlite_file.is_network(file_system)


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs", "apfs", ""])
def test_local_file_systems_are_taken(file_system: str) -> None:
    """And one that is not known is not refused."""
    assert not sqlite_file.is_network(file_system)


def test_a_ledger_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the file is made, in a message that names the way out, whatever the names of other mounts are."""
    mounts = tmp_path / "mountinfo"
    mount = f"40 22 0:40 / {tmp_path.resolve()} rw - nfs4 server:/export rw\n"
    mounts.write_bytes(b"41 22 8:4 / /mnt/not-utf-8-\xff rw - ext4 /dev/sdd1 rw\n" + mount.encode())
    monkeypatch.setattr(sqlite_file, "_MOUNTS", mounts)
    with pytest.raises(LedgerError, match=r"network file system \(nfs4\).*PostgreSQL"):
        Database(f"sqlite:///{tmp_path}/home/ledger.db")
    assert not (tmp_path / "home" / "ledger.db").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    """It may lead elsewhere tomorrow, to a ledger that knows nothing."""
    (tmp_path / "ledger.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(LedgerError, match="is a link"):
        Database(f"sqlite:///{tmp_path}/ledger.db")
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_folder_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    """Anybody could put another ledger there; a sticky folder, as /tmp is, keeps them from it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(LedgerError, match="written by everybody"):
        Database(f"sqlite:///{shared}/ledger.db")
    shared.chmod(0o1777)
    Database(f"sqlite:///{shared}/ledger.db").close()


def test_a_disk_without_room_is_refused(tmp_path: Path) -> None:
    """What is free is compared with what runs under way may need."""
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with pytest.raises(LedgerError, match=r"less than \d+ MiB left"):
        sqlite_file.check_room(tmp_path / "ledger.db", needed=2 * free)
    sqlite_file.check_room(tmp_path / "ledger.db", needed=1)


def test_a_damaged_ledger_is_refused_and_kept(tmp_path: Path) -> None:
    """Pages that were overwritten are found before anything is sent; the file stays for whoever repairs it.

    What a process that was killed has left beside it must not stay: SQLite would write it over the backup.
    """
    path = tmp_path / "ledger.db"
    Database(f"sqlite:///{path}").close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    pages = bytearray(path.read_bytes())
    assert len(pages) > 8192
    pages[4096:8192] = os.urandom(4096)
    path.write_bytes(pages)
    with pytest.raises(LedgerError, match=r"damaged.* with its -wal and -shm.*accept-restored"):
        Database(f"sqlite:///{path}")
    assert path.read_bytes() == bytes(pages)
