"""Mistyped e-mail domains are counted, and nobody's real domain is."""

import pyarrow as pa
import pytest

from xcapi_dagster.conversions.domains import count_mistyped_domains


@pytest.mark.parametrize(
    "domain", ["gmial.com", "gmai.com", "gmail.con", "gmail.cm", "hotmial.com", "yaho.com", "example.con", "outlok.com"]
)
def test_a_slip_is_counted(domain: str) -> None:
    """Letters swapped or left out in a provider's name; an ending that no registry has."""
    assert count_mistyped_domains(pa.array([f"ann@{domain}", "bob@example.com", None])) == 1


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "googlemail.com", "hotmail.co.uk", "yahoo.co.jp", "ymail.com", "mail.com", "outlook.com",
     "icloud.com", "gmx.com", "conn.com", "icon.com",
     "mygmial.com", "gmial.com.example.org", "example.co", "example.om"],
)  # fmt: skip
def test_a_real_domain_is_not(domain: str) -> None:
    """Other providers, other countries, and names that only look alike."""
    assert count_mistyped_domains(pa.array([f"ann@{domain}"])) == 0


def test_no_addresses_no_slips() -> None:
    """An empty column, and one of nulls."""
    assert count_mistyped_domains(pa.array([], pa.string())) == 0
    assert count_mistyped_domains(pa.nulls(3, pa.string())) == 0
