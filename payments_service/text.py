"""Texts from outside: blanks and invisible characters in them, and what a spreadsheet would run."""
import re
import unicodedata

# Unicode's separators, control characters and format characters.
INVISIBLE_CATEGORIES = {"Zs", "Zl", "Zp", "Cc", "Cf"}
# What other categories have that renders as nothing: the Default_Ignorable_Code_Point of Unicode's
# DerivedCoreProperties.txt, and the blanks among Braille cells, musical symbols and hieroglyphs.
OTHER_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U00013441\U00013442\U0001d159\U000e0000-\U000e0fff]"
)

INVISIBLE_END = "Must not begin or end with a blank or an invisible character."
INVISIBLE_TOO = "Invisible characters count as blanks."


# A spreadsheet would run a cell that begins with one of these as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def disarm(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs: with an apostrophe before it, where it needs one."""
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


def rearm(cell: str) -> str:
    """Return the text that `disarm` made a cell of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*FORMULA_STARTS, "'")) else cell


def is_blank(text: str) -> bool:
    """Tell whether a text shows nothing: it is empty, or all its characters are blanks or invisible."""
    return all(map(_is_invisible, text))


def has_invisible_end(text: str) -> bool:
    """Tell whether a text begins or ends with a blank or an invisible character: it looks the same as one without."""
    return bool(text) and (_is_invisible(text[0]) or _is_invisible(text[-1]))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in INVISIBLE_CATEGORIES or bool(OTHER_INVISIBLE.match(character))
