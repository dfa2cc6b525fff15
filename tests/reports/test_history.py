"""The summaries of all partitions: what is new, what cannot be read, and an overview that is never stale."""

from pathlib import Path

import pytest
from upath import UPath

from xcapi_dagster.errors import XConversionsError
from xcapi_dagster.outputs import Outputs
from xcapi_dagster.reports import pages
from xcapi_dagster.reports.history import History, new_reasons
from xcapi_dagster.reports.summary import ReasonSummary, Summary
from xcapi_dagster.reports.worth import Worth


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(UPath(tmp_path / "[out] put"), "purchases")


def summary(partition: str, *codes: str) -> Summary:
    """A partition of ten orders with these reasons."""
    reasons = tuple(ReasonSummary(code=code, worth=Worth(orders=1)) for code in codes)
    return Summary(partition=partition, states={"accepted": Worth(orders=10)}, reasons=reasons)


def write(outputs: Outputs, *summaries: Summary) -> None:
    for each in summaries:
        with outputs.writing("summary", each.partition) as path:
            path.write_text(each.model_dump_json(), encoding="utf-8")


def test_a_reason_is_new_once_three_partitions_did_without() -> None:
    """In the first three everything would be new; a partition without orders is no witness."""
    summaries = [
        summary("2026-11-01", "no_identifier"),
        Summary(partition="2026-11-02"),
        summary("2026-11-03", "email_invalid"),
        summary("2026-11-04", "negative_value"),
        summary("2026-11-05", "no_identifier", "phone_invalid"),
        summary("2026-11-06", "phone_invalid"),
    ]
    assert {key: codes for key, codes in new_reasons(summaries).items() if codes} == {"2026-11-05": {"phone_invalid"}}


def test_summaries_are_found_and_damaged_ones_are_not_there(outputs: Outputs) -> None:
    """A half-written file, one of a newer version, a temporary one: none of them stops a run."""
    assert History.of(outputs).all == []
    write(outputs, summary("2026-11-02"), summary("2026-11-01-05:00"))
    folder = outputs.overview.parent
    (folder / "2026-11-03.summary.json").write_text('{"partition": "2026-11-03", "sta')
    (folder / "2026-11-04.summary.json").write_text('{"schema_version": 2, "partition": "2026-11-04"}')
    (folder / ".2026-11-05.summary.json.0123").write_text(summary("2026-11-05").model_dump_json())
    assert [each.partition for each in History.of(outputs).all] == ["2026-11-01-05:00", "2026-11-02"]


@pytest.mark.parametrize("asked", ["ls", "cat_file"])
@pytest.mark.parametrize("error", [PermissionError, TimeoutError])
def test_what_is_not_told_is_not_taken_for_absent(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch, asked: str, error: type[OSError]
) -> None:
    """A store that does not answer: an overview without a partition would say that there is none."""
    write(outputs, summary("2026-11-01"))

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(outputs.root.fs, asked, refuse)
    with pytest.raises(XConversionsError, match=r"cannot be read \(.*\): check XCAPI_OUTPUT_URL"):
        pages.write_overview(outputs)
    assert not outputs.overview.exists()


def test_a_file_in_the_place_of_the_folder_has_no_summaries(tmp_path: Path) -> None:
    """As little as a folder that is not there."""
    (tmp_path / "file").touch()
    assert History.of(Outputs(UPath(tmp_path / "file"), "purchases")).all == []


def test_a_run_replaces_its_own_summary_and_looks_back_only() -> None:
    """What a run adds counts at once, and later partitions are none before."""
    history = History([summary("2026-11-01"), summary("2026-11-03")])
    history.add(summary("2026-11-01", "no_identifier"))
    (before,) = history.before("2026-11-02")
    assert [each.code for each in before.reasons] == ["no_identifier"]


def test_the_overview_is_written_until_it_has_seen_everything(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run finishes a partition while the page is made: the one that is last has both."""
    write(outputs, summary("2026-11-01"))
    made: list[list[str]] = []

    def slowly(summaries: list[Summary], outputs: Outputs) -> str:
        made.append([each.partition for each in summaries])
        if len(made) == 1:
            write(outputs, summary("2026-11-02"))
        return ",".join(made[-1])

    monkeypatch.setattr(pages, "overview_page", slowly)
    pages.write_overview(outputs)
    assert made == [["2026-11-01"], ["2026-11-01", "2026-11-02"]]
    assert outputs.overview.read_text(encoding="utf-8") == "2026-11-01,2026-11-02"


def test_an_object_store_has_an_overview_too() -> None:
    """The same through fsspec."""
    outputs = Outputs(UPath("memory://history/out"), "purchases")
    write(outputs, summary("2026-11-01", "no_identifier"))
    pages.write_overview(outputs)
    assert "no_identifier" in outputs.overview.read_text(encoding="utf-8")


def test_what_another_pixel_was_sent_is_told_apart() -> None:
    """Summaries of earlier versions do not say what they are about, and count."""
    told = {"2026-11-01": "loopback|odemo1", "2026-11-02": "ads-api.x.com|o8z6j", "2026-11-03": ""}
    history = History(Summary(partition=partition, scope=scope) for partition, scope in told.items())
    assert list(history.of_scope("ads-api.x.com|o8z6j")) == ["2026-11-02", "2026-11-03"]
