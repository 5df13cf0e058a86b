"""Lightning invoices (BOLT 11) as a node would make them, but for their signatures"""
import time

from payments_service.lightning.bolt11 import ALPHABET, CHECKSUM_WORDS, SIGNATURE_WORDS, compute_checksum


def make_bolt11(msat: int | None, payment_hash: str, seconds: int = 3600, memo: str = "", at: int | None = None) -> str:
    """Return an invoice that was made at `at`, or now. Its payment secret and its signature are zeros."""
    fields = [
        *field("p", to_words(bytes.fromhex(payment_hash))),
        *field("s", to_words(bytes(32))),
        *field("d", to_words(memo.encode())),
        *field("x", number_to_words(seconds)),
    ]
    words = number_to_words(int(time.time()) if at is None else at, 7) + fields + [0] * SIGNATURE_WORDS
    prefix = f"lnbc{'' if msat is None else f'{msat * 10}p'}"
    return f"{prefix}1{''.join(ALPHABET[word] for word in with_checksum(prefix, words))}"


def field(kind: str, words: list[int]) -> list[int]:
    """Return a tagged field."""
    return [ALPHABET.index(kind), *number_to_words(len(words), 2), *words]


def to_words(data: bytes) -> list[int]:
    """Return bytes as words of five bits, filled up with zero bits."""
    bits = "".join(f"{byte:08b}" for byte in data)
    return [int(bits[start:start + 5].ljust(5, "0"), 2) for start in range(0, len(bits), 5)]


def number_to_words(number: int, length: int = 1) -> list[int]:
    """Return a number as at least `length` words of five bits."""
    words: list[int] = []
    while number or len(words) < length:
        words.insert(0, number & 31)
        number >>= 5
    return words


def with_checksum(prefix: str, words: list[int]) -> list[int]:
    """Return the words with the checksum of bech32 after them (BIP 173)."""
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    checksum = compute_checksum([*expanded, *words, *[0] * CHECKSUM_WORDS]) ^ 1
    return words + [checksum >> 5 * place & 31 for place in reversed(range(CHECKSUM_WORDS))]
