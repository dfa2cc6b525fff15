"""The counts of one partition: every order read is in exactly one of them."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the orders of one partition, as of one run, and the requests which that run made."""

    read: int = 0
    invalid: int = 0
    suppressed: int = 0
    duplicate: int = 0
    already_accepted: int = 0  # by an earlier run
    accepted: int = 0  # by this run
    rejected: int = 0
    unknown: int = 0
    held: int = 0
    too_late: int = 0
    changed: int = 0
    pending: int = 0
    requests: int = 0

    @property
    def settled(self) -> int:
        """The sum of all that can become of an order."""
        return sum(self.as_dict().values()) - self.read - self.requests

    @property
    def add_up(self) -> bool:
        """Whether every order that was read is in exactly one count."""
        return self.read == self.settled

    @property
    def is_done(self) -> bool:
        """Whether nothing is left for another run or for an operator."""
        return not (self.pending or self.unknown or self.held)

    @property
    def wanted(self) -> int:
        """The orders that were to be sent: with consent, no duplicates."""
        return self.read - self.suppressed - self.duplicate

    @property
    def rejection_rate(self) -> float:
        """The part of them that is invalid or rejected."""
        return (self.invalid + self.rejected) / self.wanted if self.wanted else 0.0

    def as_dict(self) -> dict[str, int]:
        """The counts by name, in the order in which they are documented."""
        return asdict(self)
