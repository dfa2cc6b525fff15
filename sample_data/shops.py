"""The made-up shops and what they sell.

Phone numbers are from the ranges that a country sets aside for fiction (United States, Great Britain, Germany,
France, Australia), or they have a possible length but lie outside the country's numbering plan.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shop:
    """A country's shop; `#` in `numbers` is any digit."""

    country: str
    currency: str
    decimals: int
    rate: str  # of the currency for a US dollar, roughly
    share: int
    utc_offset: int
    calling_code: str
    trunk: str  # what a national number starts with and the international form leaves out
    dial_out: str
    numbers: tuple[str, ...]
    names: str


SHOPS = (
    Shop("US", "USD", 2, "1", 26, -5, "1", "", "011", ("212 555 01##", "415 555 01##", "312 555 01##"),
         "emma liam olivia noah smith johnson o'neil garcía"),
    Shop("GB", "GBP", 2, "0.77", 16, 0, "44", "0", "00", ("07700 900###", "020 7946 0###"),
         "amelia george isla harry jones taylor o'brien wright"),
    Shop("DE", "EUR", 2, "0.92", 15, 1, "49", "0", "00", ("030 23125 ###", "069 90009 ###"),
         "anna jürgen lena björn müller schmidt köhler weber"),
    Shop("FR", "EUR", 2, "0.92", 10, 1, "33", "0", "00", ("06 39 98 ## ##", "01 99 00 ## ##"),
         "élise hugo chloé rené martin lefèvre bernard dubois"),
    Shop("JP", "JPY", 0, "151", 9, 9, "81", "0", "010", ("090 0000 ####",),
         "yui haruto 花子 ren sato suzuki 山田 tanaka"),
    Shop("KW", "KWD", 3, "0.307", 4, 3, "965", "", "00", ("7000 ####",),
         "fatima yousef نورة ali alsabah hasan saleh نصر"),
    Shop("BR", "BRL", 2, "5.6", 7, -3, "55", "", "", ("11 0000 ####", "21 0000 ####"),
         "joão maria antônio júlia silva souza conceição lima"),
    Shop("IT", "EUR", 2, "0.92", 6, 1, "39", "", "00", ("0120 0#####", "300 000 ####"),
         "giulia luca niccolò sara rossi ferrari russo d'angelo"),
    Shop("AU", "AUD", 2, "1.52", 4, 10, "61", "0", "0011", ("02 7010 ####", "03 7010 ####"),
         "charlotte jack mia oliver brown wilson nguyen o'connor"),
    Shop("IN", "INR", 2, "84", 3, 5, "91", "0", "00", ("050000 0####",),
         "aarav diya ishaan priya sharma patel reddy khan"),
)  # fmt: skip

PRODUCTS = (  # name, kind, group, US dollars
    ("Wool blanket", "home", "110", "49.00"), ("Linen sheets, 2 pieces", "home", "110", "89.50"),
    ("Café mug", "kitchen", "120", "12.90"), ("Cast-iron pan", "kitchen", "120", "38.00"),
    ("Tea sampler 🍵", "kitchen", "120", "17.25"), ('Photo frame 8"x10"', "home", "110", "15.40"),
    ("Hiking socks", "outdoor", "130", "9.95"), ("Rain jacket", "outdoor", "130", "119.00"),
    ("Headlamp", "outdoor", "130", "34.75"), ("Trail map A\\B", "outdoor", "130", "7.60"),
    ("Notebook", "paper", None, "6.20"), ("Fountain pen", "paper", None, "27.80"),
    ("Crème pour les mains", "care", "140", "11.35"), ("抹茶セット", "kitchen", "120", "42.10"),
    ("Children's puzzle", "toys", "150", "18.99"), ("Wooden train", "toys", "150", "31.45"),
)  # fmt: skip
