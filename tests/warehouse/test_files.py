"""Orders in files: which files a URL names, strict CSV, folders whose files differ, and object stores."""

import gzip
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from xcapi_dagster.conversions.columns import convert
from xcapi_dagster.conversions.items import to_contents
from xcapi_dagster.errors import ConfigurationError, WarehouseError
from xcapi_dagster.warehouse import open_warehouse

DAY = datetime(2026, 10, 20, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
HEADER = "order_id,ordered_at,email\n"
ENDS = ["\n", "\r\n", "\r"]
Write = Callable[[str, str | bytes], Path]


def read(url: str, orders: str = "orders") -> list[dict[str, Any]]:
    batches = open_warehouse(url, orders, "UTC").read(DAY, DAY + ONE_DAY)
    return [row for batch in batches for row in batch.to_pylist()]


def ids(url: str) -> list[Any]:
    return [row["order_id"] for row in read(url)]


def parquet(path: Path, *order_ids: Any, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"order_id": order, "ordered_at": DAY, **columns} for order in order_ids]
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without wild characters in its name, which a test's own may have."""
    (found := tmp_path / "exports").mkdir()
    return found


@pytest.fixture
def write(folder: Path) -> Write:
    def written(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def test_a_url_names_a_file_a_pattern_or_a_folder(folder: Path) -> None:
    """By scheme, by the files' names, or by what is said after it; all of a folder, in the order of their names."""
    parquet(folder / "2026/10/b.parquet", "2")
    parquet(folder / "2026/10/c.parquet", "3")
    parquet(folder / "2026/a.parquet", "1")
    parquet(folder / "odd", "4")

    assert ids(f"parquet://{folder}/2026") == ["2", "3", "1"]
    assert ids(f"file://{folder}/2026/") == ["2", "3", "1"]
    assert ids(f"parquet:///{folder}/2026/**/*.parquet") == ["2", "3", "1"]
    assert ids(f"parquet://{folder}/2026/10/*.parquet") == ["2", "3"]
    assert ids(f"file://{folder}/2026/10/b.parquet") == ["2"]
    assert ids(f"parquet://{folder}/odd") == ["4"]
    assert ids(f"file://{folder}/odd?format=parquet") == ["4"]


def test_what_a_writer_keeps_for_itself_is_no_order(folder: Path, write: Write) -> None:
    """Names that begin with a dot or an underscore are unfinished files, markers and logs."""
    parquet(folder / "part-0.parquet", "1")
    parquet(folder / ".part-1.parquet.tmp.parquet", "2")
    parquet(folder / "_delta_log/checkpoint.parquet", "3")
    write("_SUCCESS", "")

    assert ids(f"parquet://{folder}") == ["1"]
    assert ids(f"parquet://{folder}/_delta_log") == ["3"]


def test_files_that_differ_have_the_columns_of_all(folder: Path, write: Write) -> None:
    """What a file lacks is null in it; a folder's `name=value` is a column of text, and no zero is lost."""
    parquet(folder / "p/country=NO/order_id_of=007/a.parquet", 1)
    parquet(folder / "p/country=DE/order_id_of=008/b.parquet", "x-2", email="ann@example.com")
    write("c/a.csv", f"{HEADER}007,2026-10-20,ann@example.com\n")
    write("c/b.csv", "Ordered_At;order_id;value\n2026-10-20;008;1,5\n")
    write("c/c.tsv", "order_id\tordered_at\n009\t2026-10-20\n")

    assert read(f"parquet://{folder}/p") == [
        {"order_id": "x-2", "ordered_at": DAY, "email": "ann@example.com", "country": "DE"},
        {"order_id": "1", "ordered_at": DAY, "email": None, "country": "NO"},
    ]
    assert read(f"csv://{folder}/c") == [
        {"order_id": "007", "ordered_at": "2026-10-20", "email": "ann@example.com", "value": None},
        {"order_id": "008", "ordered_at": "2026-10-20", "email": None, "value": "1,5"},
        {"order_id": "009", "ordered_at": "2026-10-20", "email": None, "value": None},
    ]


def test_folders_are_columns_also_where_not_all_files_have_them(folder: Path, write: Write) -> None:
    """A file beside the folders, or in others, takes nothing from the rest: orders would lose their currency."""
    parquet(folder / "p/currency=EUR/a.parquet", "1")
    parquet(folder / "p/currency=EUR/order_id=007/a.parquet", 5.0)
    parquet(folder / "p/Country=NO/b.parquet", 5.0, currency="NOK")
    parquet(folder / "p/c.parquet", "3")
    write("c/currency=EUR/a.csv", f"{HEADER}1,2026-10-20,x\n")
    write("c/currency=EUR/order_id=007/a.csv", f"{HEADER}1,2026-10-20,x\n")
    write("c/Country=NO/b.csv", "currency,order_id,ordered_at\nNOK,5,2026-10-20\n")
    write("c/c.csv", f"{HEADER}3,2026-10-20,x\n")
    write("t/updated_at=2026-10-20/a.csv", f"{HEADER}1,2026-10-20,x\n")

    for url in (f"parquet://{folder}/p", f"csv://{folder}/c"):
        told = {(row["order_id"], row["currency"], row["country"]) for row in read(url)}
        assert told == {("1", "EUR", None), ("007", "EUR", None), ("5", "NOK", "NO"), ("3", None, None)}
    assert [row["updated_at"] for row in read(f"csv://{folder}/t")] == ["2026-10-20"]


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_in_nanoseconds_are_read(folder: Path, zone: str | None) -> None:
    """With a zone or without, as pandas writes them; each is in one window, and none is counted as missing."""
    times = pa.array([datetime(2026, 10, 19, 23, 59, 59, 999_999), datetime(2026, 10, 20)])  # noqa: DTZ001
    told = pa.table({"order_id": ["before", "first"], "ordered_at": times.cast(pa.timestamp("ns", zone))})
    pq.write_table(told.append_column("updated_at", told["ordered_at"]), folder / "a.parquet")
    warehouse = open_warehouse(f"parquet://{folder}", "orders", "UTC")

    assert ids(f"parquet://{folder}") == ["first"]
    assert [warehouse.count(DAY - ONE_DAY, DAY), warehouse.count(DAY, DAY + ONE_DAY)] == [1, 1]
    assert warehouse.count_without_time() == 0


@pytest.mark.parametrize("others", [None, pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.string()])
@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("midnight", [DAY, datetime(1970, 1, 1, tzinfo=UTC)])
def test_the_last_nanosecond_of_a_day_is_of_that_day(
    folder: Path, midnight: datetime, zone: str | None, others: pa.DataType | None
) -> None:
    """Each order is in exactly one window, whatever the same column is in other files."""
    around = [-1_001, -1_000, -999, -501, -500, -499, -1, 0, 1, 499, 500, 501, 999, 1_000]
    first = pa.scalar(midnight, pa.timestamp("ns", "UTC")).value
    times = pa.array([first + each for each in around], pa.timestamp("ns", zone))
    pq.write_table(pa.table({"order_id": pa.array(around), "ordered_at": times}), folder / "a.parquet")
    if others:
        pq.write_table(pa.table({"order_id": [0], "ordered_at": pa.nulls(1, others)}), folder / "b.parquet")
    warehouse = open_warehouse(f"parquet://{folder}", "orders", "UTC")
    days = [(midnight - ONE_DAY, midnight), (midnight, midnight + ONE_DAY)]

    told = [[each for batch in warehouse.read(*day) for each in batch["order_id"].to_pylist()] for day in days]

    assert told == [around[:7], around[7:]]
    assert [warehouse.count(*day) for day in days] == [7, 7]
    assert warehouse.count_without_time() == (1 if others else 0)


@pytest.mark.parametrize("type_", [pa.timestamp("us"), pa.timestamp("ns"), pa.date32(), pa.string()])
def test_times_without_a_zone_are_local_where_other_files_have_one(folder: Path, type_: pa.DataType) -> None:
    """Each file's times are what they are alone; a file whose times are all null, or that has none, changes nothing."""
    midnight = DAY - timedelta(hours=2)  # in Oslo
    local = pa.array(["2026-10-20"]).cast(pa.timestamp("us")).cast(pa.date32()).cast(type_)
    for name, column, times in (
        ("a", "ordered_at", local),
        ("b", "ordered_at", pa.array([midnight])),
        ("c", "Ordered_At", local),
        ("d", "ordered_at", pa.nulls(1)),
        ("e", "updated_at", local),
    ):
        pq.write_table(pa.table({"order_id": [name], column: times}), folder / f"{name}.parquet")
    warehouse = open_warehouse(f"parquet://{folder}", "orders", "Europe/Oslo")

    (batch,) = warehouse.read(midnight, midnight + timedelta.resolution)

    assert sorted(batch.column("order_id").to_pylist()) == ["a", "b", "c"]
    assert warehouse.count(midnight, midnight + timedelta.resolution) == 3
    assert warehouse.count_without_time() == 2


def test_times_with_and_without_a_zone_may_have_any_name(folder: Path) -> None:
    """As a query names them; what DuckDB takes for two columns stays two."""
    midnight = DAY.replace(tzinfo=None)
    parquet(folder / "a.parquet", "1", **{'placed "at"': DAY, "Ü": DAY})
    parquet(folder / "b.parquet", "2", **{'Placed "At"': midnight, "ü": midnight, "ÜX": midnight})
    (query := folder.with_name("orders.sql")).write_text('SELECT order_id, "placed ""at""" AS ordered_at FROM orders')

    read_ids = [row["order_id"] for row in read(f"parquet://{folder}", str(query))]

    assert read_ids == ["1", "2"]


@pytest.mark.parametrize("name", ["ordered_at", "UPDATED_AT"])
@pytest.mark.parametrize("number", [1, 1.5, Decimal("1.5")])
def test_numbers_in_place_of_times_are_refused_by_their_file(folder: Path, name: str, number: Any) -> None:
    """As the numbers alone are: no partition would have the orders of that file, or an older version would count."""
    parquet(folder / "a.parquet", "1", **{name: DAY})
    parquet(folder / "b.parquet", "2", **{name: number})

    with pytest.raises(ConfigurationError) as caught:
        read(f"parquet://{folder}")
    assert str(caught.value) == (
        f"XCAPI_WAREHOUSE_URL: {folder}/b.parquet has {name.lower()} as a number, and other files have it as a time: "
        "write that file anew, with times"
    )


WIDE_CENTS, WIDE_SIXTHS, WIDE_WHOLE = (pa.decimal128(38, scale) for scale in (2, 6, 0))
DOUBLES = pa.array([7.0, -0.0, 2.0**53, float("nan"), None])
AMOUNTS = pa.array([0.1 + 0.2, 1e-7, 1e22, 1e40, float("inf"), float("nan"), 20.0, None])


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ("order_id", [DOUBLES, pa.array(["A-1", "007"])]),
        ("order_id", [DOUBLES, pa.array([2**53 + 1])]),
        ("order_id", [pa.array([], pa.float64()), pa.array([2**53 + 1])]),
        ("order_id", [pa.array([5.0], pa.float32()), pa.array([16_777_217], pa.int32()), pa.nulls(1)]),
        ("order_id", [pa.array([Decimal("5.00")]), pa.array(["A-1"])]),
        ("order_id", [pa.array([b"A-1", b"\xff", None]), pa.array([7]), pa.array([7.0])]),
        ("email", [pa.array(["\u00e9@example.com".encode()]), pa.array(["\u00e9@example.com", r"\xAB"])]),
        ("twclid", [pa.array([b"\xff" * 32]), pa.array(["x"])]),
        ("hashed_email", [pa.array([b"\xff" * 32, b"a" * 64, b"\xff", None]), pa.array(["b" * 64])]),
        ("phone", [pa.array([4_912_345_678.0, 4_912_345_678.5]), pa.array(["+49 123 45678"])]),
        ("phone", [pa.array([Decimal("4912345678.50"), Decimal("7.00")]), pa.array(["+49 123 45678"])]),
        ("phone", [pa.array([Decimal(4_912_345_678)], WIDE_CENTS), pa.array([2.0])]),
        ("value", [pa.array([Decimal("1.5")], WIDE_CENTS), pa.array([Decimal("1.234567")], WIDE_SIXTHS)]),
        ("value", [pa.array([Decimal(10) ** 31], WIDE_WHOLE), pa.array([Decimal("1.25")])]),
        ("value", [pa.array([0.1, 1_234_567.9], pa.float32()), pa.array([Decimal("16777217.10")]), AMOUNTS]),
        ("value", [AMOUNTS, pa.array(["5.00", "1,5", ""])]),
        ("value", [pa.array([Decimal("5.00")]), pa.array([DAY])]),
        ("quantity", [pa.array([2]), pa.array([DAY.date()]), pa.array([DAY.replace(tzinfo=None)])]),
        ("quantity", [pa.array([2.0, 2.5]), pa.array([16_777_217], pa.int32()), pa.array(["3"])]),
    ],
)
def test_values_of_several_types_are_what_each_is_in_its_file(
    folder: Path, column: str, numbers: list[pa.Array]
) -> None:
    """Of floats, decimals and texts, DuckDB makes what loses digits or gains a `.0`: another id, or another amount.

    Of bytes and texts it makes bytes, and of a text beyond ASCII none.
    """

    def told(url: str) -> list[Any]:
        batches = open_warehouse(url, "orders", "UTC").read(DAY, DAY + ONE_DAY)
        found = [convert(batch, "UTC") for batch in batches]
        if column in ("value", "quantity"):
            pairs = [zip(*(part.to_pylist() for part in each.amounts[column]), strict=True) for each in found]
            return [pair for each in pairs for pair in each]
        return [text for each in found for text in each.texts[column].to_pylist()]

    for name, each in zip("abc", numbers, strict=False):
        given = {"order_id": ["1"] * len(each), "ordered_at": pa.array([DAY] * len(each), pa.timestamp("us", "UTC"))}
        pq.write_table(pa.table(given | {column: each}), folder / f"{name}.parquet")

    alone = [text for file in sorted(folder.iterdir()) for text in told(f"parquet://{file}")]
    assert told(f"parquet://{folder}") == alone


PRICES = pa.decimal128(38, 2), pa.decimal128(38, 6)


@pytest.mark.parametrize(
    "given",
    [
        [pa.array([[{"content_id": "1"}], None]), pa.array(['[{"content_id": "2", "num_items": 3}]', "", "no JSON"])],
        [pa.array([[{"content_id": 5.0, "num_items": 2.0}]]), pa.array([[{"content_id": "A-1", "num_items": 2}], []])],
        [
            pa.array([[{"content_price": Decimal(price)}]], pa.list_(pa.struct([("content_price", type_)])))
            for price, type_ in zip(("1.5", "1.234567"), PRICES, strict=True)
        ],
        [pa.array([[{"content_id": "1"}]]), pa.array([{"content_id": "2"}])],
        [pa.array([[{"content_id": "1"}]]), pa.array([[{"num_items": 3, "content_id": "2"}]]), pa.nulls(1)],
    ],
)
def test_items_of_several_types_are_what_they_are_in_their_file(folder: Path, given: list[pa.Array]) -> None:
    """As text in some files and as lists in others, or of other fields: one that is no JSON ends no partition."""

    def told(url: str) -> list[Any]:
        batches = open_warehouse(url, "orders", "UTC").read(DAY, DAY + ONE_DAY)
        found = [to_contents(convert(batch, "UTC").items) for batch in batches]
        return [pair for each in found for pair in zip(each.values.to_pylist(), each.invalid.to_pylist(), strict=True)]

    for name, each in zip("abc", given, strict=False):
        times = pa.array([DAY] * len(each), pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"ordered_at": times, "Items": each}), folder / f"{name}.parquet")

    alone = [pair for file in sorted(folder.iterdir()) for pair in told(f"parquet://{file}")]
    assert told(f"parquet://{folder}") == alone


@pytest.mark.parametrize("other", ["EMAIL", "email"])
def test_a_column_that_a_parquet_file_has_twice_is_refused(folder: Path, other: str) -> None:
    """Whichever case they have, as in CSV and in databases; fields of structs and unknown columns may be alike."""
    names = ["order_id", "ordered_at", "email", "items", "Note", "note"]
    columns = [["1"], [DAY], ["ann@example.com"], [[{"email": 1, "note": {"email": 2}}]], [1], [2]]
    once = pa.table([pa.array(column) for column in columns], names)
    pq.write_table(once, folder / "a.parquet")
    assert ids(f"parquet://{folder}") == ["1"]

    pq.write_table(once.append_column(other, [["bob@example.com"]]), folder / "b.parquet")
    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(f"parquet://{folder}", "orders", "UTC").describe()
    assert str(caught.value) == (
        f"XCAPI_WAREHOUSE_URL: {folder}/b.parquet has the column email twice; drop one of them"
    )


def test_csv_is_read_as_rfc_4180_says(folder: Path, write: Write) -> None:
    """Quotes, separators and line ends in quotes, a byte order mark, empty fields, and no last line end."""
    rows = '1,2026-10-20,"a, ""b""\nc"\r\n2,2026-10-20,\r\n,,\r\n3,2026-10-20,"it\'s"'
    write("a.csv", f"\ufeff{HEADER.strip()}\r\n{rows}")
    (folder / "b.csv.gz").write_bytes(gzip.compress(f"{HEADER}4,2026-10-20,x\n".encode()))
    write("c.csv", HEADER)

    assert [(row["order_id"], row["email"]) for row in read(f"csv://{folder}")] == [
        ("1", 'a, "b"\nc'), ("2", None), ("3", "it's"), ("4", "x"),
    ]  # fmt: skip


@pytest.mark.parametrize("ends", list(itertools.product(ENDS, repeat=2)))
def test_lines_may_end_in_another_way_in_each_file(folder: Path, write: Write, ends: tuple[str, str]) -> None:
    """Files of several systems: no id has a piece of a line's end."""
    for name, end in zip("ab", ends, strict=True):
        lines = ["ordered_at,email,order_id", f'2026-10-20,"x\ny",{name}1', f"2026-10-20,,{name}2", ""]
        write(f"{name}.csv", end.join(lines))

    assert ids(f"csv://{folder}") == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize("ends", [each for each in itertools.product(ENDS[:2], repeat=3) if len({*each}) > 1])
def test_a_file_whose_lines_do_not_end_alike_is_named(folder: Path, write: Write, ends: tuple[str, ...]) -> None:
    """A CR at the end of an id would make another order of it."""
    lines = ["ordered_at,email,order_id", "2026-10-20,,1", "2026-10-20,,2"]
    path = write("a.csv", "".join(line + end for line, end in zip(lines, ends, strict=True)))
    write("b.csv", "\n".join(lines))

    with pytest.raises(WarehouseError) as caught:
        read(f"csv://{folder}")
    assert str(caught.value) == (
        f"the files could not be read to the end: the lines of {path} do not all end alike, in LF or in CRLF"
    )


def test_nulls_that_databases_write_into_csv_are_nulls(folder: Path, write: Write) -> None:
    """An order without a value is no order with a wrong one."""
    write("a.tsv", 'order_id\tordered_at\tvalue\tdescription\n1\t2026-10-20\t\\N\t\\No\n2\t2026-10-20\t""\t\\\n')

    assert [(row["value"], row["description"]) for row in read(f"csv://{folder}")] == [(None, r"\No"), (None, "\\")]


def test_what_separates_fields_is_seen_outside_of_quotes(folder: Path, write: Write) -> None:
    """A name may hold more commas than there are semicolons."""
    write("a.csv", 'order_id;"ordered_at";"Total, with ""VAT"", in EUR, and freight"\n1;2026-10-20;5,00\n')

    assert ids(f"csv://{folder}") == ["1"]
    assert open_warehouse(f"csv://{folder}", "orders", "UTC").unread() == []


def test_csv_may_have_columns_without_a_name(folder: Path, write: Write) -> None:
    """As the numbers of rows that pandas writes, and what follows a separator at the end of each line."""
    write("a.csv", f",{HEADER.strip()},,\n0,1,2026-10-20,ann@example.com,,\n")
    write("b.csv", f'"",{HEADER}"",2,2026-10-20,\n')

    assert read(f"csv://{folder}") == [
        {"order_id": "1", "ordered_at": "2026-10-20", "email": "ann@example.com"},
        {"order_id": "2", "ordered_at": "2026-10-20", "email": None},
    ]
    assert open_warehouse(f"csv://{folder}", "orders", "UTC").unread() == []


@pytest.mark.parametrize(
    "rows",
    [
        "1,2026-10-20,x\n2,2026-10-2",
        "1,2026-10-20,x\n2,2026-10-20,x,y\n",
        '1,2026-10-20,x\n2,2026-10-20,"x\n',
        '1,2026-10-20,"x"y\n',
        "".join(f"{n},2026-10-20,x\n" for n in range(40_000)) + "40000,2026-10-20\n",
    ],
)
def test_a_line_that_is_not_like_the_first_is_no_short_read(folder: Path, write: Write, rows: str) -> None:
    """Nothing is guessed or skipped: a file that was cut, or that has another separator in a line, is an error."""
    write("a.csv", HEADER + rows)

    with pytest.raises(WarehouseError, match=r"^the files could not be read to the end: CSV error in line \d+$"):
        read(f"csv://{folder}")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", HEADER + "1,2026-10-20,\xff", "is not whole CSV in UTF-8"),
        ("a.csv", "order_id,ordered_at,Order_ID\n1,2026-10-20,2\n", "names a column twice in its first line"),
        ("a.csv", f"{HEADER}1,,{'x' * 2_000_000}\n", "has a line of more than 2,000,000 bytes, which is too long"),
        ("a.parquet", "no Parquet at all", "is not a whole Parquet file"),
        ("a.csv.gz", "no gzip", "is not whole CSV in UTF-8"),
    ],
)
def test_a_file_that_is_none_is_named(folder: Path, write: Write, name: str, content: str, told: str) -> None:
    """Before anything is read, with the setting and the file, and nothing of what is in it."""
    path = write(name, content.encode("latin-1"))

    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(f"file://{folder}", "orders", "UTC").describe()

    assert str(caught.value) == f"XCAPI_WAREHOUSE_URL: {path} {told}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "told"), [("", "empty"), ("\norder_id\n1\n", "empty"), ("order_id" * 50_000 + "\n1\n", "too long")]
)
def test_a_first_line_without_names_is_told_of(folder: Path, write: Write, content: str, told: str) -> None:
    """It is what says how to read the others."""
    path = write("a.csv", content)
    with pytest.raises(
        ConfigurationError, match=f"the first line of {path} is {told}: a CSV file begins with the names"
    ):
        open_warehouse(f"csv://{folder}", "orders", "UTC").describe()


@pytest.mark.parametrize("place", [0, 1])
def test_a_file_without_names_beside_others_is_told_of(folder: Path, write: Write, place: int) -> None:
    """As parts of one export are, of which the first alone has them: its first order would be taken for names."""
    for name, content in zip(
        "ab", [f"{HEADER}1,2026-10-20,x\n", "2,2026-10-20,ann@example.com\n"][:: 1 - 2 * place], strict=True
    ):
        write(f"{name}.csv", content)

    with pytest.raises(ConfigurationError) as caught:
        read(f"csv://{folder}")

    assert str(caught.value) == (
        f"XCAPI_WAREHOUSE_URL: the first lines of {folder}/a.csv and {folder}/b.csv have no name in common: a CSV file "
        "begins with the names of its columns"
    )


@pytest.mark.parametrize("start", ["sep=;\n", "\ufeffsep=,\r\n"])
def test_a_line_that_tells_excel_the_separator_is_told_of(folder: Path, write: Write, start: str) -> None:
    """Not as names of columns, which it has in place of."""
    path = write("a.csv", start + HEADER + "1,2026-10-20,x\n")
    with pytest.raises(ConfigurationError, match=f"the first line of {path} is sep=, which is for Excel alone: leave"):
        open_warehouse(f"csv://{folder}", "orders", "UTC").describe()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_names_are_no_patterns(folder: Path, write: Write, kind: str) -> None:
    """A file is read once, and no other in its place, whatever its name would match."""
    names = ["a1", "a[1]", "b*", "b2", "c?", "d{1,2}", "e[!a]", "f\\g"]
    for name in names:
        if kind == "csv":
            write(f"{name}.csv", f"{HEADER}{name.replace(',', ';')},2026-10-20,\n")
        else:
            parquet(folder / f"{name}.parquet", name.replace(",", ";"))
    assert sorted(ids(f"{kind}://{folder}")) == sorted(name.replace(",", ";") for name in names)
    assert ids(f"{kind}://{folder}/a[1].{kind}") == ["a[1]"]


def test_a_file_that_was_cut_is_no_short_read(folder: Path) -> None:
    """Parquet has its contents at its end, and gzip a sum."""
    parquet(folder / "a.parquet", *range(1000))
    parquet(folder / "b.parquet", *range(1000))
    cut = (folder / "b.parquet").read_bytes()[:-100]
    (folder / "b.parquet").write_bytes(cut)
    zipped = gzip.compress((HEADER + "".join(f"{n * 7919},2026-10-20,x\n" for n in range(100_000))).encode())
    (folder / "c.csv.gz").write_bytes(zipped[: len(zipped) // 2])

    with pytest.raises(ConfigurationError, match=r"b\.parquet is not a whole Parquet file"):
        read(f"parquet://{folder}/*.parquet")
    with pytest.raises((ConfigurationError, WarehouseError)):
        read(f"csv://{folder}/*.gz")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("parquet:///nowhere/orders", "there is no Parquet or CSV file at /nowhere/orders"),
        ("csv://orders.csv", "must name files by an absolute path: csv:///FOLDER/FILE"),
        ("file:///nowhere?format=xlsx", r"may end in \?format=parquet or \?format=csv"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_url_that_names_no_files_is_refused(url: str, told: str) -> None:
    """One line that names the setting."""
    with pytest.raises(ConfigurationError, match=f"^XCAPI_WAREHOUSE_URL:? {told}"):
        open_warehouse(url, "orders", "UTC").describe()


def test_files_of_two_kinds_are_not_mixed(folder: Path, write: Write) -> None:
    """Which was meant cannot be known, unless the URL says so."""
    parquet(folder / "a.parquet", "1")
    write("b.csv", f"{HEADER}2,2026-10-20,x\n")

    with pytest.raises(ConfigurationError, match=f"both Parquet and CSV files are at {folder}"):
        read(f"file://{folder}")
    assert ids(f"csv://{folder}/*.csv") == ["2"]


def test_nothing_is_written_to_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that needs more memory than there is fails; it leaves no orders in a temporary file."""
    monkeypatch.chdir(folder)
    parquet(folder / "in/a.parquet", *range(10))
    (query := folder / "orders.sql").write_text("""
        SELECT max(ordered_at) AS ordered_at, string_agg(repeat('x', 10000) || n, '') AS order_id
        FROM orders, range(20000) AS numbers(n)
    """)

    with pytest.raises(WarehouseError, match="the query needs more than 512MB"):
        read(f"parquet://{folder}/in", str(query))

    assert sorted(path.name for path in folder.iterdir()) == ["in", "orders.sql"]


def test_an_object_store_is_read_like_a_folder(bucket: str, write: Write) -> None:
    """Parquet and CSV, by folder, by pattern and by name, over HTTP."""
    path = write("a.csv", f"{HEADER}1,2026-10-20,x\n")
    S3FileSystem().put(str(path), f"{bucket}/csv/day=20/a.csv")
    parquet(path.with_name("b.parquet"), "2", "3")
    S3FileSystem().put(str(path.with_name("b.parquet")), f"{bucket}/parquet/b.parquet")

    assert ids(f"{bucket}/csv/") == ids(f"{bucket}/csv/**/*.csv") == ["1"]
    assert ids(f"{bucket}/parquet") == ids(f"{bucket}/parquet/b.parquet") == ["2", "3"]
    with pytest.raises(ConfigurationError, match=r"^XCAPI_WAREHOUSE_URL: there is no Parquet or CSV file at s3://"):
        read(f"{bucket}/nothing")


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_explained() -> None:
    """One line that names the setting."""
    with pytest.raises(
        ConfigurationError, match=r"^XCAPI_WAREHOUSE_URL: s3://no-such-bucket/x cannot be read: there is"
    ):
        read("s3://no-such-bucket/x")
