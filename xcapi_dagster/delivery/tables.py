"""The ledger's tables, the same on SQLite and PostgreSQL.

One row per request: its conversions' keys and fingerprints are blobs in the order of the body, because a row per
conversion would rewrite hundreds of B-tree pages for each batch. Times are seconds since 1970, UTC.
No identifier, token or body is stored; keys are keyed hashes. `migrations` brings an older ledger to this shape.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA_VERSION = 6

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself in INTEGER keys alone
_Place = String(512)  # a host with its port, or that and an id of X's: a DNS name has up to 253 characters

meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# The numbers between two revisions that are no change of this ledger's, both exclusive.
gap = Table(
    "gap",
    metadata,
    Column("after", BigInteger, primary_key=True, autoincrement=False),
    Column("until", BigInteger, nullable=False),
)

# Who may hold requests in flight: one row per run, alive while its lease lasts.
owner = Table(
    "owner",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("run_id", String(64), nullable=False),
    Column("host", String(255), nullable=False),
    Column("boot", String(64), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("lease_until", Double, nullable=False),
)

# A POST; or, with `decided_by`, what an operator (or this package, to ask one) let stand in place of an answer.
request = Table(
    "request",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("revision", BigInteger, nullable=False),  # of the ledger when this row last changed
    Column("account", _Place, nullable=False),
    Column("scope", _Place, nullable=False),
    Column("instance", String(255), nullable=False),  # whose partition it is; empty where an older version wrote it
    Column("partition", String(255), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("owner_id", ForeignKey("owner.id"), nullable=False),
    Column("parent_id", _Id),  # the request whose conversions these were
    Column("state", String(16), nullable=False),
    Column("size", Integer, nullable=False),
    Column("keys", LargeBinary, nullable=False),
    Column("fingerprints", LargeBinary, nullable=False),
    Column("first_sent_at", Double, nullable=False),  # when any of these was first possibly sent
    Column("checksum", BigInteger, nullable=False),  # of what never changes and no index repeats
    Column("claimed_at", Double, nullable=False),
    Column("settled_at", Double),
    Column("http_status", Integer),
    Column("debug_id", String(64)),
    Column("message", Text),  # what X said, redacted; or why it was decided
    Column("decided_by", String(255)),
    Index("request_by_revision", "scope", "revision"),
    Index("request_by_partition", "scope", "partition"),
    Index("request_in_flight", "state", "account"),
)

# What became of one conversion when that differs from its request's outcome.
verdict = Table(
    "verdict",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("revision", BigInteger, nullable=False),
    Column("scope", _Place, nullable=False),
    Column("key", LargeBinary(16), nullable=False),
    Column("fingerprint", BigInteger, nullable=False),  # reinterpreted as signed
    Column("request_id", ForeignKey("request.id"), nullable=False),
    Column("since", _Id, nullable=False),  # the request with which X began to refuse it
    Column("state", String(16), nullable=False),
    Column("reason_code", String(64), nullable=False),
    Column("detail", Text),
    Column("isolated_by", String(16)),
    Column("at", Double, nullable=False),
    Index("verdict_by_revision", "scope", "revision"),
)

# Where each component instance sends: another pixel or default event would be sent all of history again.
instance = Table(
    "instance",
    metadata,
    Column("host", _Place, primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("scope", _Place, nullable=False),
    Column("event_id", String(255), nullable=False),  # the default, in short form
    Column("accepted_by", String(255)),  # who agreed to the latest change
    Column("accepted_why", Text),
    Column("at", Double, nullable=False),
)

# The ledgers, or later states of this one, in whose place this one stands by an operator's word: for one instance, from
# whose files it has learned.
predecessor = Table(
    "predecessor",
    metadata,
    Column("ledger_id", String(32), primary_key=True),
    Column("host", _Place, primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("known", BigInteger, nullable=False),  # the revision up to which this ledger remembered that one's work
    Column("revision", BigInteger, primary_key=True, autoincrement=False),  # up to this one it stands in its place
    Column("accepted_by", String(255), nullable=False),
    Column("accepted_why", Text, nullable=False),
    Column("at", Double, nullable=False),
)

# What settled requests used of an account's limit, in slices of time; those in flight count from `request`.
spending = Table(
    "spending",
    metadata,
    Column("account", _Place, primary_key=True),
    Column("slice", BigInteger, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
)

# What X said about an account's limit.
allowance = Table(
    "allowance",
    metadata,
    Column("account", _Place, primary_key=True),
    Column("blocked_until", Double, nullable=False),
    Column("requests_left", BigInteger),
    Column("resets_at", Double),
)
