"""The numbering plans of the `phonenumbers` library, as RE2 patterns and tables that work on whole columns.

Each method answers exactly as the library's parser does at that step (libphonenumber's `parse` and
`isPossibleNumber`, phonenumbers 9.0), for columns of ASCII digits without nulls. RE2 takes the patterns as they
are, because the C++ edition of the library runs the same ones on it.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import PhoneMetadata

from xcapi_dagster.conversions.texts import keep_where, replace_where, to_bools

Flags = npt.NDArray[np.bool_]

_LENGTHS = 32  # longer than any number: what is longer counts as this long
_NO_DIGIT = "[^0-9]"  # a prefix that is never there


@dataclass(frozen=True, slots=True, eq=False)
class NumberingPlan:
    """How numbers are written in one region, or under a calling code that belongs to no region (toll-free, satellite).

    The tables are indexed by a number of digits. ``possible``: the library calls national numbers of that length
    possible under this calling code (regions that share a code are all judged by its main region). ``may_remain``:
    what is left after a national prefix may be that long. ``too_long``: no number of the region is that long.
    """

    calling_code: int
    international_prefix: str
    national_prefix: str
    transform_rule: str | None
    viable: str
    possible: Flags
    may_remain: Flags
    too_long: Flags

    def e164_of_domestic(self, digits: pa.Array) -> pa.Array:
        """E.164 of numbers as dialed within the region, where its own calling code may come first; null: impossible.

        The calling code is taken off where only that makes the number viable, or where it is too long with it.
        """
        with_code = to_bools(pc.starts_with(digits, str(self.calling_code)))
        if not with_code.any():
            return self.e164(digits)
        rest = self._without_national_prefix(pc.utf8_slice_codeunits(digits, len(str(self.calling_code))))
        better = with_code & (~self._is_viable(digits) & self._is_viable(rest) | self.too_long[_lengths(digits)])
        if not better.any():
            return self.e164(digits)
        main = plan_of_calling_code(self.calling_code)
        return pc.if_else(pa.array(better), main.e164(rest), self.e164(digits))

    def e164(self, digits: pa.Array) -> pa.Array:
        """E.164 of national numbers, where a national prefix may come first; null: impossible."""
        national = self._without_national_prefix(digits)
        if national is not digits:
            national = pc.if_else(pa.array(self.may_remain[_lengths(national)]), national, digits)
        possible = keep_where(pa.array(self.possible[_lengths(national)]), national)
        return pc.binary_join_element_wise(f"+{self.calling_code}", possible, "")

    def _without_national_prefix(self, digits: pa.Array) -> pa.Array:
        """The digits without national prefix and carrier code, unless a viable number would cease to be one."""
        if not to_bools(pc.match_substring_regex(digits, self.national_prefix)).any():
            return digits
        rest = _replace(digits, self.national_prefix, "")
        if self.transform_rule is not None:
            # The rule holds where the pattern's last group took part; no such group can capture an empty text.
            last_group = rf"\{re.compile(self.national_prefix).groups}"
            took_part = pc.not_equal(_replace(digits, self.national_prefix, last_group), rest)
            rest = pc.if_else(took_part, _replace(digits, self.national_prefix, self.transform_rule), rest)
        return pc.if_else(pa.array(self._is_viable(digits) & ~self._is_viable(rest)), digits, rest)

    def _is_viable(self, digits: pa.Array) -> Flags:
        return to_bools(pc.match_substring_regex(digits, self.viable))


@lru_cache(maxsize=512)  # the regions are data: there may be any number of unknown ones
def plan_of_region(region: str | None) -> NumberingPlan | None:
    """The plan of a region (ISO 3166 alpha-2, upper case); None if the library knows no such region."""
    if region not in phonenumbers.SUPPORTED_REGIONS:
        return None
    return _plan(PhoneMetadata.metadata_for_region(region))


@cache
def plan_of_calling_code(code: int) -> NumberingPlan:
    """The plan by which the library reads numbers after this assigned calling code: that of its main region."""
    return _plan(_main_metadata(code))


@cache
def calling_codes() -> npt.NDArray[np.int16]:
    """For the first three digits of an international number, as an integer, its calling code; 0: not assigned."""
    assigned = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    codes = np.zeros(1000, np.int16)
    for prefix in range(100, 1000):  # no calling code begins with a zero
        codes[prefix] = next((code for code in (prefix // 100, prefix // 10, prefix) if code in assigned), 0)
    return codes


def without_international_prefix(digits: pa.Array, plan: NumberingPlan | None) -> tuple[pa.Array, Flags]:
    """The digits without the prefix that the plan puts before calls abroad (00 without a plan), and where it stood."""
    prefix = plan.international_prefix if plan else "^00"
    is_abroad = pc.match_substring_regex(digits, prefix)
    return replace_where(is_abroad, digits, lambda some: _replace(some, prefix, "")), to_bools(is_abroad)


def _plan(metadata: Any) -> NumberingPlan:
    # Any: by the library's stubs each of these fields may be None; in its metadata only the prefixes and the rule are.
    region = metadata.general_desc
    main = _main_metadata(metadata.country_code).general_desc
    too_long = (np.arange(_LENGTHS + 1) > max(region.possible_length)) & ~_is_in(region.possible_length_local_only)
    return NumberingPlan(
        calling_code=metadata.country_code,
        international_prefix=f"^(?:{metadata.international_prefix or _NO_DIGIT})",
        national_prefix=f"^(?:{metadata.national_prefix_for_parsing or _NO_DIGIT})",
        transform_rule=metadata.national_prefix_transform_rule or None,
        viable=f"^(?:{region.national_number_pattern})$",
        possible=_is_in(main.possible_length + main.possible_length_local_only),
        may_remain=_is_in(region.possible_length) | too_long,
        too_long=too_long,
    )


def _main_metadata(code: int) -> Any:
    region = phonenumbers.region_code_for_country_code(code)
    return PhoneMetadata.metadata_for_region_or_calling_code(code, region)


def _is_in(lengths: tuple[int, ...]) -> Flags:
    return np.isin(np.arange(_LENGTHS + 1), lengths)


def _lengths(digits: pa.Array) -> npt.NDArray[np.int32]:
    lengths: npt.NDArray[np.int32] = np.minimum(pc.binary_length(digits).to_numpy(), _LENGTHS)
    return lengths


def _replace(digits: pa.Array, pattern: str, replacement: str) -> pa.Array:
    return pc.replace_substring_regex(digits, pattern, replacement, max_replacements=1)
