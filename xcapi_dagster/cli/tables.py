"""Where tables for people are printed."""

from rich.console import Console

_WIDE = 160  # columns, where nobody's terminal says how many there are


def output(*, is_result: bool = True) -> Console:
    """Standard output, or error for what is no result: as wide as the terminal, or wide enough for any table."""
    console = Console(stderr=not is_result, highlight=False)  # which would colour parts of numbers
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    return console
