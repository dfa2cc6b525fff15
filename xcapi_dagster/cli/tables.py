"""Where tables for people are printed."""

from rich.console import Console

_WIDE = 160  # columns, where nobody's terminal says how many there are


def output() -> Console:
    """Standard output: as wide as the terminal, and wide enough for any table where there is none."""
    console = Console(highlight=False)  # which would colour parts of numbers
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, _WIDE))
