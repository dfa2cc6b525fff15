"""SipHash-2-4 as its authors describe it (Aumasson and Bernstein, 2012, section 2), a number at a time."""

_BITS = 64
_MOST = 2**_BITS - 1


def siphash_2_4(secret: bytes, text: bytes) -> int:
    """The digest of ``text`` with a ``secret`` of 16 bytes."""
    low, high = (int.from_bytes(half, "little") for half in (secret[:8], secret[8:]))
    state = (low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D, low ^ 0x6C7967656E657261, high ^ 0x7465646279746573)
    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v0, v1, v2, v3 = _rounds(2, state[0], state[1], state[2], state[3] ^ word)
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = _rounds(4, state[0], state[1], state[2] ^ 0xFF, state[3])
    return v0 ^ v1 ^ v2 ^ v3


def mixed(number: int) -> int:
    """The last step of SplitMix64, with which pandas ends."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MOST
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MOST
    return number ^ number >> 31


def _rounds(count: int, v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    for _ in range(count):
        v0, v2 = v0 + v1 & _MOST, v2 + v3 & _MOST
        v1, v3 = _rotated(v1, 13) ^ v0, _rotated(v3, 16) ^ v2
        v0 = _rotated(v0, 32)
        v2, v0 = v2 + v1 & _MOST, v0 + v3 & _MOST
        v1, v3 = _rotated(v1, 17) ^ v2, _rotated(v3, 21) ^ v0
        v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


def _rotated(number: int, by: int) -> int:
    return (number << by | number >> _BITS - by) & _MOST
