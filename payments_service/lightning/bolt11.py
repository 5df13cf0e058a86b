"""What a Lightning invoice asks for (BOLT 11). Its signature is not verified: it comes from the node itself."""
import re
from collections.abc import Iterator
from typing import NamedTuple

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
# The generator of the checksum's code (BIP 173).
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
CHECKSUM_WORDS, TIMESTAMP_WORDS, SIGNATURE_WORDS = 6, 7, 104
# Of a payment hash: 256 bits in words of five.
HASH_WORDS = 52
DEFAULT_EXPIRY_SECONDS = 3600
PAYMENT_HASH, EXPIRY = ALPHABET.index("p"), ALPHABET.index("x")

PREFIX = re.compile(r"ln(?:bcrt|bc|tbs|tb)(?:([1-9][0-9]*)([munp]?))?", re.ASCII)
# A bitcoin is 10^11 millisatoshi.
PICOBITCOIN = {"": 10**12, "m": 10**9, "u": 10**6, "n": 10**3, "p": 1}
PICOBITCOIN_PER_MSAT = 10
# More would be all bitcoin that can exist, written out.
MAX_AMOUNT_DIGITS = 20


class Invoice(NamedTuple):
    """What an invoice says."""

    # None: the payer chooses.
    amount_msat: int | None
    # 64 lower-case hexadecimal digits.
    payment_hash: str
    # In seconds since 1970.
    expires_at: int


def read_invoice(text: str) -> Invoice:
    """Read an invoice in lower or upper case; raises ValueError for anything that is no valid invoice."""
    prefix, words = _decode_bech32(text)
    if len(words) < TIMESTAMP_WORDS + SIGNATURE_WORDS:
        raise ValueError("the invoice is too short")
    # Of repeated fields, the first counts.
    fields = dict(reversed(list(_split_fields(words[TIMESTAMP_WORDS:-SIGNATURE_WORDS]))))
    if PAYMENT_HASH not in fields:
        raise ValueError("the invoice has no payment hash")
    # The last four bits of its words fill them up.
    payment_hash = _join(fields[PAYMENT_HASH]) >> 4
    expiry = _join(fields[EXPIRY]) if EXPIRY in fields else DEFAULT_EXPIRY_SECONDS
    return Invoice(_read_amount(prefix), f"{payment_hash:064x}", _join(words[:TIMESTAMP_WORDS]) + expiry)


def _decode_bech32(text: str) -> tuple[str, list[int]]:
    """Return what is before the separator, and the words of five bits after it, without the checksum (BIP 173)."""
    if text not in (text.lower(), text.upper()) or not text.isascii():
        raise ValueError("the invoice mixes cases")
    prefix, _, data = text.lower().rpartition("1")
    if not prefix or not set(data) <= set(ALPHABET):
        raise ValueError("the invoice is not in bech32")
    words = [ALPHABET.index(character) for character in data]
    expanded = [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]
    if compute_checksum(expanded + words) != 1:
        raise ValueError("the invoice has a wrong checksum")
    return prefix, words[:-CHECKSUM_WORDS]


def compute_checksum(words: list[int]) -> int:
    """Return the remainder of the checksum's code: 1 if the words end with their checksum."""
    checksum = 1
    for word in words:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ word
        for bit, generator in enumerate(GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _read_amount(prefix: str) -> int | None:
    """Return the amount in a prefix in millisatoshi, None if it has none."""
    found = PREFIX.fullmatch(prefix)
    if not found:
        raise ValueError("the invoice has an unknown prefix")
    digits, multiplier = found.groups()
    if digits is None:
        return None
    if len(digits) > MAX_AMOUNT_DIGITS:
        raise ValueError("the invoice's amount is too large")
    msat, rest = divmod(int(digits) * PICOBITCOIN[multiplier], PICOBITCOIN_PER_MSAT)
    if rest:
        raise ValueError("the invoice's amount is no whole number of millisatoshi")
    return msat


def _split_fields(words: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield the type and the words of each field that has a valid length."""
    position = 0
    while position + 3 <= len(words):
        kind, length = words[position], words[position + 1] * 32 + words[position + 2]
        field = words[position + 3:position + 3 + length]
        position += 3 + length
        if len(field) < length:
            raise ValueError("a field of the invoice is cut off")
        # A payment hash of another length is to be skipped.
        if kind != PAYMENT_HASH or length == HASH_WORDS:
            yield kind, field


def _join(words: list[int]) -> int:
    """Return the number that words of five bits spell."""
    number = 0
    for word in words:
        number = number * 32 + word
    return number
