"""What is true of every delivery, whatever happens, and the tests that fail as soon as it is not."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.proofs.bugs.table import BUGS

ROOT = Path(__file__).parents[1]

# Everything that happens to a delivery is judged by these, at every POST and after every run.
MACHINE = "proofs/test_machine.py::test_nothing_is_lost_or_sent_again"
KILLS = "proofs/test_kills.py::test_whenever_processes_are_killed"
STORY = "proofs/test_stories.py::test_"
DELIVER = "delivery/test_deliver.py::test_"
LEDGER = "delivery/test_ledger.py::test_"
FAULT = "faults/test_"

INVARIANTS: Mapping[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "No POST without a durable claim of this very run, which lives, with exactly those keys in that order.",
        (
            MACHINE,
            STORY + "a_run_that_stood_still_for_six_minutes",
            LEDGER + "a_claim_is_durable_before_anything_is_sent",
        ),
    ),
    2: (
        "What is accepted has been received.",
        (MACHINE, KILLS, STORY + "hold_waits_for_an_operator"),
    ),
    3: (
        "No conversion is in two requests of living runs at once.",
        (MACHINE, STORY + "two_runs_at_once", LEDGER + "a_claim_leaves_out_what_another_run_took"),
    ),
    4: (
        "No POST contains an accepted conversion.",
        (
            MACHINE,
            KILLS,
            STORY + "late_orders_are_all_that_is_sent",
            LEDGER + "nothing_later_hides_what_x_accepted",
            LEDGER + "a_late_answer_is_seen_by_the_claim_that_would_send_again",
            LEDGER + "a_late_acceptance_is_seen_behind_a_later_verdict",
        ),
    ),
    5: (
        "Nothing is sent again 44 hours after it was first possibly sent, a time that never becomes later.",
        (MACHINE, STORY + "in_doubt_for_twice_40_hours", STORY + "the_horizon_passes_while_a_run_waits"),
    ),
    6: (
        "Under `hold` nothing that was possibly sent is sent again without an operator's word.",
        (MACHINE, KILLS, STORY + "hold_waits_for_an_operator", STORY + "each_death_is_a_possible_send"),
    ),
    7: (
        "What is rejected was refused by X for what it is, alone or by its echoed value; never for anything else.",
        (MACHINE, KILLS, STORY + "words_that_nobody_knows", DELIVER + "echoed_rows_cost_two_posts"),
    ),
    8: (
        "Every order that was read is in exactly one state, and the counts add up.",
        (MACHINE, FAULT + "data.py::test_fault_39_an_order_twice_in_one_read", "test_checks.py"),
    ),
    9: (
        "A run over what is settled makes no POST and writes the same bytes.",
        (MACHINE, FAULT + "data.py::test_fault_41_orders_that_arrive_late"),
    ),
    10: (
        "Once the faults have ended one run leaves nothing to do, and the next does nothing.",
        (MACHINE, KILLS, STORY + "a_machine_that_is_lost"),
    ),
    11: (
        "An order that arrives late, or in another partition than before, is sent once.",
        (
            MACHINE,
            STORY + "moved_to_another_day",
            FAULT + "data.py::test_fault_41_orders_that_move_to_another_partition",
        ),
    ),
    12: (
        "Of an order that is read twice one version is sent, always the same one.",
        ("conversions/test_duplicates.py", FAULT + "data.py::test_fault_39_an_order_twice_in_one_read"),
    ),
    13: (
        "After an answer about credentials, account or pixel only the requests under way still end.",
        (MACHINE, STORY + "wrong_credentials", DELIVER + "after_a_halt_nothing_more_is_sent"),
    ),
    14: (
        "The parts of a refused batch are the batch, and isolation costs 40 POSTs at most.",
        (
            DELIVER + "rows_without_an_echo_are_found_by_halving",
            DELIVER + "more_bad_rows_than_the_cap_are_found_by_later_runs",
        ),
    ),
    15: (
        "In no window is more sent than the limit, and nothing by anybody while X asks to wait.",
        (MACHINE, STORY + "a_day_at_the_limit", "delivery/test_throttle.py"),
    ),
    16: (
        "Success is a 200 with JSON, without errors or a redirect, that counts what was sent.",
        (MACHINE, STORY + "a_success_that_contradicts_itself", FAULT + "answers.py::test_fault_28_a_redirect"),
    ),
    17: (
        "A ledger that cannot be written before a POST prevents it; after it, the conversions are in doubt.",
        (
            DELIVER + "a_failing_ledger_stops_the_run_loudly",
            FAULT + "kills.py::test_fault_06_power_cuts_forget_a_tail_of_commits",
        ),
    ),
    18: (
        "No secret and no raw identifier is in any log, event, file, message or in the ledger.",
        (
            "test_assets.py::test_no_identifier_and_no_secret_is_left_anywhere",
            "ads_api/test_api_errors.py::test_no_echoed_identifier_is_printed",
        ),
    ),
    19: (
        "A ledger of a newer version is refused, one of an older version brought up to date beside a copy.",
        ("delivery/test_database.py::test_a_newer_schema_is_refused", "delivery/test_migrations.py"),
    ),
    20: (
        "A ledger that was restored from an old copy is refused until somebody agrees to it.",
        (STORY + "a_ledger_that_was_restored", "delivery/test_safeguards.py"),
    ),
    21: (
        "A new ledger in the place of one that sent is refused until somebody agrees to it.",
        (STORY + "a_ledger_that_was_restored", "delivery/test_safeguards.py"),
    ),
    22: (
        "The same orders make the same requests, byte by byte.",
        (STORY + "the_same_orders_are_the_same_requests",),
    ),
}


def test_there_are_22() -> None:
    """Numbered without a gap, each with tests."""
    assert list(INVARIANTS) == list(range(1, 23))
    assert all(tests for _, tests in INVARIANTS.values())


@pytest.mark.parametrize("number", INVARIANTS)
def test_a_planted_bug_breaks_each(number: int) -> None:
    """`python -m tests.proofs.bugs` shows that its tests fail when it is broken."""
    assert any(number in bug.breaks for bug in BUGS)


@pytest.mark.slow
def test_the_tests_exist() -> None:
    """Each that is named can be collected."""
    named = {f"tests/{test}" for _, tests in INVARIANTS.values() for test in tests}
    named |= {test for bug in BUGS for test in bug.tests}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *sorted(named)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
