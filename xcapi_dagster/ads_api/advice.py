"""What to mend, and who must, when X refuses something that is not about rows: the catalogue's words, in one line."""

from collections.abc import Iterable

from xcapi_dagster.ads_api.api_errors import ApiError
from xcapi_dagster.ads_api.catalogue import SCOPE_OF_CODE, Explanation, explain, explain_status


def advice(status: int, errors: Iterable[ApiError]) -> str:
    """What to do about an answer that stops delivery; holds no value that X echoed."""
    explained = (explanation_of(error) for error in errors if not error.is_about_rows)
    found = next((each for each in explained if each is not None), None) or explain_status(status)
    return f"{found.meaning}: {found.fix} ({status})"


def explanation_of(error: ApiError) -> Explanation | None:
    """What the catalogue says about ``error``: by its message, else by its code unless that may mean many things."""
    by_message = explain(error.message_name or "")
    return by_message or (explain(error.code) if error.code and error.code in SCOPE_OF_CODE else None)
