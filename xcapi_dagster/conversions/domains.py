"""E-mail domains that are slips of the keyboard: what is hashed there matches nobody."""

import pyarrow as pa
import pyarrow.compute as pc

# Misspelt providers, and endings that no registry has.
_MISTYPED = (
    r"@(?:"
    r"(?:gmial|gmai|gmal|gamil|gmali|gnail|gmaill|gmil|gmaik)\.com"
    r"|(?:hotmial|hotmal|hotmai|hotmil|hormail|hotmaill|htomail)\.com"
    r"|(?:yaho|yahooo|yhaoo|yahho|yaoo)\.com"
    r"|(?:outlok|outloo|oulook|outllok)\.com"
    r"|(?:iclod|icoud|icluod)\.com"
    r"|(?:gmail|hotmail|yahoo|outlook|icloud)\.(?:cm|om|comm|cmo|ocm|vom)"
    r"|[^@]+\.(?:con|cpm|xom|coom|nte)"
    r")$"
)


def count_mistyped_domains(emails: pa.Array) -> int:
    """How many of the normalized addresses are at a domain that is mistyped."""
    return pc.sum(pc.match_substring_regex(emails, _MISTYPED)).as_py() or 0
