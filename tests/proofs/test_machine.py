"""Hypothesis against ledger and sender: any orders, runs, deaths, answers, clocks and verdicts, in any order.

With `XCAPI_PROOFS_EXAMPLES=5000` in the environment the search is long; each example has 25 steps.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.proofs.world import HOUR, World, kill
from tests.proofs.x import FAULTS
from xcapi_dagster.delivery.standing import Policy

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("XCAPI_PROOFS_EXAMPLES", "30"))
DAYS = ["2026-09-20", "2026-09-21"]
MOMENTS = ["commit", "after_claim", "on its way", "on its way back", "after_post", "after_settle"]
# What X may do to a request, apart from what lasts: that is a rule of its own.
FATES = ["taken", *sorted(set(FAULTS) - {"unheard-of error"})]

nth = st.sampled_from([1, 1, 1, 1, 2, 2, 3, 4, 6])
fresh = st.integers(0, 4)  # orders that come just before a run, so that it has something to send
days = st.sampled_from(DAYS)
fates = st.lists(st.sampled_from(FATES), max_size=5)
pauses = st.tuples(st.sampled_from(MOMENTS[1:]), nth)  # at a commit no other run can write
moments = st.tuples(st.sampled_from(MOMENTS), nth)
hours = st.sampled_from([0.1, 1.0, 14.0, 40.0, 43.0, 45.0])


class Proof(RuleBasedStateMachine):
    """One world for each example; what must hold is asserted by the world itself."""

    on_unknown: Any = "resend"

    @initialize(deduplicates=st.booleans(), pixel=st.booleans(), echoes=st.booleans())
    def begin(self, *, deduplicates: bool, pixel: bool, echoes: bool) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="xcapi-proof-", dir=_memory())
        policy = Policy(on_unknown=self.on_unknown, pixel_also_fires=pixel)
        self.world = World(Path(self.folder.name), policy, deduplicates)
        self.world.x.echoes = echoes
        self.was_set_back = self.was_out_of_order = False
        self.orders = 0

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.folder.cleanup()

    @rule(day=days, count=st.integers(1, 5), bad=st.integers(0, 8), age=st.sampled_from([1.0, 30.0, 43.5]))
    def orders_come(self, day: str, count: int, bad: int, age: float) -> None:
        self.come(day, count, bad, age)

    def come(self, day: str, count: int, bad: int = -1, age: float = 1.0) -> None:
        for number in range(count):
            self.world.put(day, f"order-{self.orders + number}", is_bad=number == bad, age=age * HOUR)
        self.orders += count

    @precondition(lambda self: self.world.names)
    @rule(data=st.data(), bad=st.booleans())
    def order_changes(self, data: st.DataObject, *, bad: bool) -> None:
        self.world.change(*self.an_order(data), is_bad=bad)

    @precondition(lambda self: self.world.names)
    @rule(data=st.data(), day=days)
    def order_moves(self, data: st.DataObject, day: str) -> None:
        source, name = self.an_order(data)
        self.world.move(name, source, day)

    @precondition(lambda self: self.world.names)
    @rule(data=st.data())
    def order_is_suppressed(self, data: st.DataObject) -> None:
        day, name = self.an_order(data)
        self.world.suppress(day, name)

    @rule(day=days, plan=fates, count=fresh)
    def run_ends(self, day: str, plan: list[str], count: int) -> None:
        self.come(day, count)
        self.world.x.plan.extend(plan)
        self.world.run(day)

    @rule(day=days, plan=fates, count=fresh, moment=moments, is_seen=st.booleans())
    def run_is_killed(self, day: str, plan: list[str], count: int, moment: Any, *, is_seen: bool) -> None:
        self.come(day, count)
        self.world.x.plan.extend(plan)
        self.world.run(day, {moment: lambda: kill(is_seen=is_seen)})

    @rule(day=days, other=days, plan=fates, count=fresh, moment=pauses, stands_still=st.booleans(), dies=st.booleans())
    def runs_overlap(
        self, day: str, other: str, plan: list[str], count: int, moment: Any, *, stands_still: bool, dies: bool
    ) -> None:
        """A whole run happens within another, which may have lost its lease meanwhile, and may die after that."""
        self.come(day, count)
        self.world.x.plan.extend(plan)
        self.world.run(day, {moment: self.interlude(other, stands_still=stands_still, dies=dies)})

    def interlude(self, day: str, *, stands_still: bool, dies: bool) -> Callable[[], None]:
        def act() -> None:
            if stands_still:
                self.world.pass_time(400.0)
            self.world.run(day)
            if dies:
                kill()

        return act

    @rule(number=hours)
    def hours_pass(self, number: float) -> None:
        self.world.pass_time(number * HOUR)

    @precondition(lambda self: not self.was_set_back)
    @rule()
    def clock_is_set_back(self) -> None:
        self.was_set_back = True
        self.world.set_clock_back(HOUR)

    @precondition(lambda self: not self.was_out_of_order)
    @rule(day=days)
    def x_refuses_everything(self, day: str) -> None:
        """In words that it does not document, for as long as a run: no order is to blame."""
        self.was_out_of_order = self.world.x.is_out_of_order = True
        self.world.run(day)
        self.world.x.is_out_of_order = False

    @rule(resolution=st.sampled_from(["accepted", "lost", "resend"]), nth=st.integers(0, 3))
    def operator_decides(self, resolution: str, nth: int) -> None:
        self.world.decide(resolution, nth)

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.world.settle()

    def an_order(self, data: st.DataObject) -> tuple[str, str]:
        return data.draw(st.sampled_from(self.world.names))


class HoldingProof(Proof):
    """The same, where nothing in doubt may be sent without an operator's word."""

    on_unknown = "hold"


@pytest.mark.parametrize("machine", [Proof, HoldingProof], ids=["resend", "hold"])
def test_nothing_is_lost_or_sent_again(machine: type[Proof]) -> None:
    """Whatever happens, every POST was allowed, every outcome is true, and in the end nothing is left to do."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if EXAMPLES > 100 else [Phase.generate],
            report_multiple_bugs=False,
            derandomize=EXAMPLES <= 100,  # in CI a failure is of the change, not of the day
            suppress_health_check=list(HealthCheck),
        ),
    )


def _memory() -> str | None:
    """A folder in memory where there is one: thousands of ledgers are not worth a disk's time."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
