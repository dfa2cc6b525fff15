"""What is written down before something is sent: a ledger that lacks it later is found out."""

from tests.partitions.conftest import SandboxedShop
from xcapi_dagster.delivery.safeguards import Destination, unknown_stamps
from xcapi_dagster.partitions.stamp import StampBefore, read_stamp


def test_it_is_written_at_once_and_again_after_a_while(shop: SandboxedShop) -> None:
    """Each time with a number that the ledger did not have before, and that it knows from then on."""
    times = iter([0.0, 59.0, 60.0])
    written = []
    with shop.ledger() as ledger:
        before = ledger.stamp()
        write = StampBefore(shop.outputs, ledger, lambda: next(times))
        for _ in range(3):
            write()
            written.append(read_stamp(shop.outputs))
        stamps = [stamp for stamp in written if stamp]
        assert before.revision < stamps[0].revision == stamps[1].revision < stamps[2].revision
        assert unknown_stamps(ledger._database, Destination("loopback", "purchases", "s", "e"), stamps) == []


def test_a_run_with_nothing_to_send_writes_none(shop: SandboxedShop) -> None:
    """What was settled before costs nothing."""
    shop.put_many(3)
    shop.put("denied", consent="denied")
    shop.sync()
    stamp = read_stamp(shop.outputs)
    shop.sync()
    assert stamp == read_stamp(shop.outputs)
    shop.put("late")
    shop.sync()
    assert stamp != read_stamp(shop.outputs)
