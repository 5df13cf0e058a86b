"""Blanks and invisible characters"""
import unicodedata

import pytest

from payments_service.text import has_invisible_end, is_blank

from ..support.invisible import INVISIBLE

VISIBLE = ["x", "0", "-", "_", ".", "ñ", "é", "ß", "漢", "ا", "ก", "😀", "€", "\ufffd", "\ue000", "\u0301", "ｱ"]


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_a_text_of_invisible_characters_is_blank(character):
    assert is_blank(character * 2)
    assert not is_blank(f"{character}x{character}")


@pytest.mark.parametrize("character", VISIBLE, ids=ascii)
def test_a_visible_character_may_be_at_either_end(character):
    assert not is_blank(character)
    assert not has_invisible_end(character)


def test_an_empty_text_is_blank_and_has_no_invisible_end():
    assert is_blank("")
    assert not has_invisible_end("")


def test_whatever_python_or_unicode_call_white_space_is_blank():
    for number in range(0x110000):
        character = chr(number)
        if character.isspace() or unicodedata.category(character) in ("Zs", "Zl", "Zp"):
            assert is_blank(character), ascii(character)
