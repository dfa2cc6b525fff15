"""A shop beside a sandbox that follows its clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clocks import FrozenClock
from tests.shop import NEXT_MORNING, Shop
from xcapi_dagster.sandbox import Sandbox


@dataclass(kw_only=True)
class SandboxedShop(Shop):
    """A shop and what X saw of it."""

    sandbox: Sandbox

    @property
    def sent(self) -> list[str]:
        """What X accepted, each time that it did."""
        return [str(received.conversion["conversion_id"]) for received in self.sandbox.received]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[SandboxedShop]:
    """A shop without orders, no ledger yet."""
    clock = FrozenClock(NEXT_MORNING)
    with Sandbox(clock=clock) as sandbox:
        yield SandboxedShop(folder=tmp_path, api_url=sandbox.url, clock=clock, sandbox=sandbox)
