"""Every exception of this package, grouped by what the caller can do about it.

* XConversionsError
    * ConfigurationError    correct a setting; nothing was read, sent or written
    * WarehouseError        the orders could not be read; nothing was sent, a re-run starts afresh
    * AdsApiError           X did not answer a question about the ads account, or not usably; ask again later
    * LedgerError           the ledger cannot be used or trusted; nothing is sent until that is mended
    * DeliveryHaltedError        X refused something that is not about rows, or delivery stopped; the rest waits
    * ContractError         this package broke its own contract between two stages; report it

Bad rows are never an exception: they become rejections, one row per (order, reason). No message ever holds
an identifier, a secret, or a value that X echoed.
"""


class XConversionsError(Exception):
    """Anything this package raises on purpose; its text is one line that says what to do."""


class ConfigurationError(XConversionsError):
    """A setting is missing or wrong. The command line answers with exit status 2."""


class WarehouseError(XConversionsError):
    """The warehouse could not be reached or stopped answering before all orders were read."""


class AdsApiError(XConversionsError):
    """X could not be asked, gave no usable answer, or asks to wait. A refusal is a ConfigurationError."""


class LedgerError(XConversionsError):
    """The ledger is missing, damaged, newer than this package, or cannot be written."""


class DeliveryHaltedError(XConversionsError):
    """Delivery stopped early; whatever was not settled stays pending and a re-run continues."""


class ContractError(XConversionsError):
    """A stage handed on what its contract forbids: a bug of this package, not of the data."""
