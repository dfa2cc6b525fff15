"""What the user decides about the transform."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rules:
    """Defaults and choices, checked by the settings; ``now`` is aware and in UTC."""

    event_id: str
    pixel_id: str
    default_country: str | None
    default_currency: str | None
    source_timezone: str
    unknown_consent: Literal["suppress", "send"]
    allow_ip_user_agent_only: bool
    send_event_source_url: bool
    now: datetime
