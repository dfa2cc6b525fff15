"""What normalizing may find wrong with an order, and how a column of numbers says of each order what it has found."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xcapi_dagster.conversions.texts import to_bools

Fault = tuple[str, str]  # order column, reason code

# Each has a bit in the column, the first the lowest.
FAULTS: tuple[Fault, ...] = (
    *((name, code)
      for name in ("order_id", "twclid", "user_agent", "description", "items", "event_source_url")
      for code in ("text_too_long", "text_has_identifier")),
    *((name, "text_unreadable") for name in ("twclid", "landing_url", "user_agent", "description")),
    ("conversion_id", "invalid_conversion_id"),
    ("value", "invalid_value"),
    ("quantity", "invalid_quantity"),
    ("items", "invalid_items"),
    ("event_source_url", "invalid_url"),
    ("email", "email_invalid"),
    ("email", "email_placeholder"),
    ("phone", "phone_invalid"),
    ("phone", "phone_no_country"),
    *((name, code) for name in ("hashed_email", "hashed_phone_number")
      for code in ("hash_invalid", "hash_placeholder")),
    ("ip_address", "ip_not_ipv4"),
    ("ip_address", "ip_not_public"),
)  # fmt: skip


def to_bits(masks: Mapping[Fault, pa.Array]) -> pa.Array:
    """A uint64 for each order, with the bits of the faults whose mask is true there; there is a mask for each fault."""
    bits = np.zeros(len(masks[FAULTS[0]]), np.uint64)
    for fault in FAULTS:
        if pc.any(masks[fault]).as_py():  # mostly it is true nowhere
            bits |= to_bools(masks[fault]).astype(np.uint64) * _bit(fault)
    return pa.array(bits)


def has(bits: pa.Array, fault: Fault) -> pa.Array:
    """Which orders have the fault."""
    return pc.not_equal(pc.bit_wise_and(bits, pa.scalar(_bit(fault))), 0)


def found_in(bits: pa.Array) -> dict[Fault, npt.NDArray[np.bool_]]:
    """The faults that some orders have, and which."""
    of_orders = bits.to_numpy()
    of_any = np.bitwise_or.reduce(of_orders)
    return {fault: of_orders & _bit(fault) != 0 for fault in FAULTS if of_any & _bit(fault)}


def _bit(fault: Fault) -> np.uint64:
    return np.uint64(1 << FAULTS.index(fault))
