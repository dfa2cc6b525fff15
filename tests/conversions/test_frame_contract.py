"""Contracts find the rows that break a rule, and everything else that is wrong with a table is a bug."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from xcapi_dagster.conversions.frame_contract import Contract
from xcapi_dagster.errors import ContractError

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])
CONTRACT = Contract(
    SCHEMA,
    {"n": {"positive": lambda values: pc.greater(values, 0), "small": lambda values: pc.less(values, 10)}},
    {"text_goes_with_n": lambda rows: pc.equal(rows["n"].is_null(), rows["text"].is_null())},
)
SECRET = "marie@example.com"


def table(numbers: list[int | None], texts: list[str | None]) -> pa.Table:
    return pa.table([numbers, texts], schema=SCHEMA)


def test_each_broken_rule_with_its_rows() -> None:
    """All at once, in one pass; null breaks no rule that does not ask for it."""
    broken = CONTRACT.broken(table([5, -1, None, 50, -2, None], ["a", "b", None, "c", None, "d"]))
    found = {(each.rule, each.column): each.rows.nonzero()[0].tolist() for each in broken}
    assert found == {("positive", "n"): [1, 4], ("small", "n"): [3], ("text_goes_with_n", None): [4, 5]}


def test_a_table_that_keeps_them_all() -> None:
    """Nothing is broken, also in a table without rows."""
    good = table([5, None], ["a", None])
    assert CONTRACT.broken(good) == []
    assert CONTRACT.prove(good) is good
    assert CONTRACT.broken(SCHEMA.empty_table()) == []


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"n": pa.array([1], pa.int32()), "text": ["a"]}),
        pa.table({"n": [1]}),
        pa.table({"n": [1], "text": ["a"], "more": [1]}),
        pa.table({"text": ["a"], "n": [1]}),
    ],
)
def test_other_columns_or_types_are_a_bug(other: pa.Table) -> None:
    """Not a row's fault: of these pandera would report no rows."""
    with pytest.raises(ContractError, match="instead of"):
        CONTRACT.broken(other)


def test_a_rule_that_fails_is_a_bug_and_tells_nothing() -> None:
    """The exception of the rule holds values; neither it nor pandera's goes along."""

    def fails(values: object) -> object:
        raise ValueError(SECRET)

    contract = Contract(SCHEMA, {"text": {"failing": fails}})
    with pytest.raises(ContractError) as raised:
        contract.broken(table([1], [SECRET]))
    assert SECRET not in str(raised.value)
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_proof_names_the_rule_and_no_value() -> None:
    """What is written to logs is the rule's name."""
    contract = Contract(SCHEMA, {"text": {"has_no_at_sign": lambda texts: pc.invert(pc.match_substring(texts, "@"))}})
    with pytest.raises(ContractError, match="has_no_at_sign") as raised:
        contract.prove(table([1], [SECRET]))
    assert SECRET not in str(raised.value)
    assert raised.value.__context__ is None
