"""What is kept of an order that somebody asked to be forgotten: that there was one."""

import pyarrow as pa

from xcapi_dagster.conversions.reasons import REASONS
from xcapi_dagster.conversions.schema import REJECTIONS


def forgotten_rejections(orders: pa.Table) -> pa.Table:
    """REJECTIONS that say of each of these orders, given as CONVERSIONS or as REJECTIONS, only why it is not sent."""
    told = {name: pa.repeat(text, len(orders)) for name, text in REASONS["forgotten"].columns().items()}
    nothing = {field.name: pa.nulls(len(orders), field.type) for field in REJECTIONS}
    return pa.table(nothing | told | {"row": orders["row"]}, schema=REJECTIONS)
