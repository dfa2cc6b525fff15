"""What the sandbox remembers: requests, conversions, how many X would count, and that a record survives a kill."""

import json
import signal
import stat
import subprocess
import sys
import uuid

import pytest
import requests

from xcapi_dagster.sandbox import DEMO_PIXEL_TOKEN, Received, Sandbox

HOURS = 3600
SERVE = """
import signal, sys
from pathlib import Path
from xcapi_dagster.sandbox import serve
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job would ignore it
serve("127.0.0.1", 0, record=Path(sys.argv[1]), ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


def test_requests(client, sandbox, clock, row):
    """Every request to the API is on record, in order, with its number, status, size and conversions."""
    client.send(row(), row())
    client.send(row(value=20))
    client.send(row(), path="/12/nothing")
    body = json.dumps({"conversions": [row(), row()]})

    assert [(r.number, r.method, r.path, r.status, r.conversions, r.is_faulty) for r in sandbox.requests] == [
        (1, "POST", "/12/measurement/conversions/oka17", 200, 2, False),
        (2, "POST", "/12/measurement/conversions/oka17", 400, 1, False),
        (3, "POST", "/12/nothing", 404, 1, False),
    ]
    assert sandbox.requests[0].size == len(body)


def test_received(start, clock, row):
    """Every accepted conversion is on record with its request, its time of arrival and all that was sent."""
    sandbox, client = start(clock=clock)
    client.send(row(value=20))
    clock.now += 7
    client.send(row(), row(event_id="o6dl3", extra={"a": [1]}))

    assert sandbox.received == [
        Received(2, 1_800_000_007.0, "18ce552mlaq", "oka17", row()),
        Received(2, 1_800_000_007.0, "18ce552mlaq", "oka17", row(event_id="o6dl3", extra={"a": [1]})),
    ]


@pytest.mark.parametrize(
    ("second", "hours", "counted"),
    [
        pytest.param({}, 1, 1, id="case-30-same-event"),
        pytest.param({"event_id": "tw-oka17-ol288"}, 1, 1, id="case-30-same-event-written-long"),
        pytest.param({"event_id": "o6dl3"}, 1, 2, id="case-30-other-event"),
        pytest.param({"conversion_id": "A-2"}, 1, 2, id="case-30-other-conversion"),
        pytest.param({}, 48, 1, id="case-30-after-48-hours"),
        pytest.param({}, 48.01, 2, id="case-30-later-than-48-hours"),
    ],
)
def test_deduplication(start, clock, row, second, hours, counted):
    """Guess: what the pixel and the API share, also two requests do: one event and id within 48 h counts once."""
    sandbox, client = start(clock=clock)
    answers = [client.send(row(conversion_id="A-1"))]
    clock.now += hours * HOURS
    answers.append(client.send(row(**({"conversion_id": "A-1"} | second))))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (len(sandbox.received), sandbox.deduplicated) == (2, counted)


@pytest.mark.parametrize("conversion_id", [None, ""])
def test_without_conversion_ids(client, sandbox, row, conversion_id):
    """Conversions without an id all count: there is nothing to tell them apart by."""
    client.send(row(conversion_id=conversion_id), row(conversion_id=conversion_id))

    assert sandbox.deduplicated == 2


def test_deduplication_counts_from_the_first(start, clock, row):
    """The 48 hours run from the first receipt: receiving again does not prolong them."""
    sandbox, client = start(clock=clock)
    for _ in range(3):
        client.send(row(conversion_id="A-1"))
        clock.now += 30 * HOURS

    assert sandbox.deduplicated == 2


def test_debug_ids(start, row):
    """Debug ids are UUIDs, all different, the same for the same seed and others without one."""
    seeded = [start(seed=7)[1] for _ in range(2)]
    unseeded = [start()[1] for _ in range(2)]
    ids = [[client.send(row()).json()["data"]["debug_id"] for _ in range(2)] for client in seeded + unseeded]

    assert ids[0] == ids[1]
    assert len({each for pair in ids for each in pair}) == 6
    assert all(str(uuid.UUID(each)) == each for pair in ids for each in pair)


def test_record_is_continued(start, tmp_path, clock, row):
    """A sandbox with the file of another one knows what that one accepted, and goes on counting its requests."""
    path = tmp_path / "received.jsonl"
    with Sandbox(record=path, clock=clock) as sandbox:
        send_to_demo(sandbox.url, row, "A-1")
    with Sandbox(record=path, clock=clock) as again:
        send_to_demo(again.url, row, "A-1", "A-2")
        assert [each.conversion["conversion_id"] for each in again.received] == ["A-1", "A-1", "A-2"]
        assert [each.request for each in again.received] == [1, 2, 2]
        assert again.deduplicated == 2

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["request"], len(line["conversions"])) for line in lines] == [(1, 1), (2, 2)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_unfinished_line_is_cut_off(tmp_path, row):
    """A line that a kill cut off was never answered: it is gone, and the record is whole again."""
    path = tmp_path / "received.jsonl"
    with Sandbox(record=path) as sandbox:
        send_to_demo(sandbox.url, row, "A-1")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    with Sandbox(record=path) as again:
        assert len(again.received) == 1
        send_to_demo(again.url, row, "A-2")

    with Sandbox(record=path) as last:
        assert [each.conversion["conversion_id"] for each in last.received] == ["A-1", "A-2"]
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize("content", [b"rubbish\n", b"[]\n", b"{}\n", b'{"request": 1}\n'])
def test_other_files_are_refused(tmp_path, content):
    """A file that is no record is refused and left as it is."""
    path = tmp_path / "received.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a record of this sandbox"):
        Sandbox(record=path).__enter__()

    assert path.read_bytes() == content


def test_sandboxes_may_share_a_record(tmp_path, row):
    """Two sandboxes may write to one file at the same time."""
    path = tmp_path / "received.jsonl"
    with Sandbox(record=path) as one, Sandbox(record=path) as other:
        send_to_demo(one.url, row, "A-1")
        send_to_demo(other.url, row, "A-2")
        send_to_demo(one.url, row, "A-3")
    with Sandbox(record=path) as after:
        assert [each.conversion["conversion_id"] for each in after.received] == ["A-1", "A-2", "A-3"]


def test_record_survives_a_kill(tmp_path, row):
    """What was answered is in the file, even when the process is killed in the same moment."""
    path = tmp_path / "received.jsonl"
    with serving(path) as process:
        send_to_demo(process.stdout.readline().strip(), row, "A-1")
        process.kill()
    with Sandbox(record=path) as after:
        assert [each.conversion["conversion_id"] for each in after.received] == ["A-1"]


def test_serve_ends_with_ctrl_c(tmp_path):
    """Ctrl-C ends a served sandbox at once and in order."""
    with serving(tmp_path / "received.jsonl") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)

    assert (process.returncode, output, errors) == (0, "ended\n", "")


def serving(path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def send_to_demo(url, row, *conversion_ids) -> None:
    rows = [row(event_id="opurch1", conversion_id=each) for each in conversion_ids]
    answer = requests.post(
        f"{url}/12/measurement/conversions/odemo1",
        json={"conversions": rows},
        headers={"X-Pixel-Token": DEMO_PIXEL_TOKEN},
        timeout=10,
    )
    assert answer.status_code == 200
