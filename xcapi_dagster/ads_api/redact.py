"""X's own words without anybody's values: X echoes what it was sent."""

import re

MASK = "***"

_LONGEST = 300
_OPENING = re.compile(r"""["(\[{<`\u201c\u2018\u00ab]|(?<![A-Za-z])'""")
_CLOSING = re.compile(r"""["')\]}>`\u201d\u2019\u00bb]""")
_PUNCTUATION = ".,;:!?"
# Longer than any word or constant of X's, and shorter than a hash or a click id that happens to have no digits.
_WORD = re.compile(r"(?=.{1,31}\Z)[A-Za-z]{1,20}(?:[_'-]+[A-Za-z]{1,20})*[_'-]*")


def redact(text: str) -> str:
    """The plain English words of ``text``, at most 300 characters; all else is masked.

    Kept are words of ASCII letters outside quotation marks and brackets. No digit, `@` or hash survives, and so no
    e-mail address, telephone number, IP address or amount does, nor a click id of more than 20 letters, as X's are. A
    name looks like a word: it is masked where X quotes or brackets it, as all its documented messages do.
    """
    kept: list[str] = []
    for token in _without_spans(text).split():
        shown = token if _is_word(token) else MASK
        if shown != MASK or kept[-1:] != [MASK]:
            kept.append(shown)
    return " ".join(kept)[:_LONGEST]


def _without_spans(text: str) -> str:
    """``text`` with one mask from the first opening quotation mark or bracket to the last closing one.

    A value may hold such marks itself, so nothing in between is trusted, nor what touches them.
    """
    opening = _OPENING.search(text)
    if not opening:
        return text
    start, end = opening.start(), len(text)
    for closing in _CLOSING.finditer(text, opening.end()):
        end = closing.end()
    before, after = text[:start], text[end:]
    return f"{before[: _start_of_last_word(before)]} {MASK} {after[_end_of_first_word(after) :]}"


def _start_of_last_word(text: str) -> int:
    return len(text) - len(re.split(r"\s", text)[-1])


def _end_of_first_word(text: str) -> int:
    return len(re.split(r"\s", text, maxsplit=1)[0])


def _is_word(token: str) -> bool:
    bare = token.strip(_PUNCTUATION)
    return not bare or _WORD.fullmatch(bare) is not None
