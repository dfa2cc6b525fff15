"""The parameters of a request to the general Ads API, typed and checked; every fault becomes one of X's errors.

X's pages show `Expected a value in A, B, got "x" for f`; the texts for what is missing or too long follow that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from xcapi_dagster.sandbox.answers import Error, documented

Value = TypeVar("Value")


class Parameters:
    """Reads parameters by name, None where there is none or a wrong one.

    ``errors`` are the faults found so far, ``echo`` is what X would repeat of the parameters, typed.
    """

    def __init__(self, text: str) -> None:
        self._given = dict(parse_qsl(text, keep_blank_values=True))
        self.errors: list[Error] = []
        self.echo: dict[str, Any] = {}

    def text(self, name: str) -> str | None:
        """A text that is not empty."""
        return self._read(name, "non-empty String", lambda given: given if given.strip() else None)

    def boolean(self, name: str) -> bool | None:
        """`true` or `false`."""
        return self._read(name, "Boolean", {"true": True, "false": False}.get)

    def integer(self, name: str, least: int, most: int) -> int | None:
        """A whole number from ``least`` to ``most``."""

        def read(given: str) -> int | None:
            is_number = given.isascii() and given.isdigit() and len(given) < 10
            return int(given) if is_number and least <= int(given) <= most else None

        return self._read(name, f"Int between {least} and {most}", read)

    def one_of(self, name: str, allowed: Sequence[Value]) -> Value | None:
        """One of the ``allowed`` values."""
        values: Mapping[str, Value] = {str(each): each for each in allowed}
        return self._read(name, f"a value in {', '.join(values)}", values.get)

    def listed(self, name: str, most: int) -> list[str] | None:
        """A list separated by commas, of at most so many."""

        def read(given: str) -> list[str] | None:
            values = [value for value in given.split(",") if value]
            return values if 0 < len(values) <= most else None

        return self._read(name, f"1 to {most} values", read)

    def require(self, *names: str) -> None:
        """All of these must be there."""
        for name in names:
            if name not in self._given:
                self.errors.append(Error(400, "MISSING_PARAMETER", f'"{name}" is a required parameter', name))

    def refuse(self, name: str, expected: str) -> None:
        """What was given for ``name`` is not what was expected."""
        self.errors.append(documented("type_mismatch", type=expected, value=self._given.get(name, ""), parameter=name))

    def _read(self, name: str, expected: str, read: Callable[[str], Value | None]) -> Value | None:
        if name not in self._given:
            return None
        value = read(self._given[name])
        if value is None:
            self.refuse(name, expected)
        else:
            self.echo[name] = value
        return value
