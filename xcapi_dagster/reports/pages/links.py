"""Links between the files of one folder; a `%` in a file's name is itself encoded in its address."""

from urllib.parse import quote


def page_link(partition: str) -> str:
    """The page of a partition, seen from its neighbours."""
    return file_link(partition, ".html")


def file_link(partition: str, ending: str) -> str:
    """A file of a partition in the same folder."""
    return quote(f"{quote(partition, safe='')}{ending}")
