"""Texts whose encoding nobody has told."""

from __future__ import annotations

import pytest

from sweep.base.errors import DataError
from sweep.data.reading.encodings import decode

GERMAN = "Stadt,Fläche m²,Preis €\nKöln,80,5\nMünchen,70,6\nDüren,60,7\n"
FRENCH = "ville,créée,très\nOrléans,1,2\nNîmes,3,4\n"
CHINESE = "面积,城市,价格\n80,上海,5\n70,广州,6\n"
RARE = "姓名,n\n朱镕基,1\n陶喆,2\n"


@pytest.mark.parametrize("text", [GERMAN, FRENCH, CHINESE, RARE, "a,b\n1,2\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_told_from_its_bytes(text: str, encoding: str) -> None:
    found, name = decode(text.encode(encoding), None)
    assert found == text
    assert name == encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *(
            (text, "cp1252")
            for text in (GERMAN, FRENCH, "a\nKöln\n", "a,b\n£5,1\n", "t\n5 °C\n", "größe\n1\n")
        ),
        *((text, "gb18030") for text in (CHINESE, RARE, "城,n\n京,1\n", "价格\n5元\n")),
    ],
)
@pytest.mark.parametrize("rows", [0, 50_000])
def test_chinese_and_western_texts_are_told_apart(text: str, encoding: str, rows: int) -> None:
    text = "a,b\n" * rows + text  # also where the first such byte comes late
    assert decode(text.encode(encoding), None) == (text, encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("день,n\nЮжный,1\nЖизнь,2\n", "cp1251"),
        ("城市,價格\n" + "臺北,1\n高雄,3\n" * 5, "big5"),
        ("都市,価格\n東京,1\n大阪,2\n", "shift_jis"),
    ],
)
def test_what_cannot_be_told_is_asked_for(text: str, encoding: str) -> None:
    with pytest.raises(DataError, match="encoding cannot be told from its bytes; name it under"):
        decode(text.encode(encoding), None)
    assert decode(text.encode(encoding), encoding) == (text, encoding)


def test_damaged_utf_8_names_the_line() -> None:
    with pytest.raises(DataError, match="line 5 holds the byte 0xf6, which is not UTF-8"):
        decode(GERMAN.encode() + "Köln,1,2\n".encode("cp1252"), None)


def test_encoding_that_does_not_fit_names_the_line() -> None:
    with pytest.raises(DataError, match=r"data\.encoding = 'utf-8' does not fit: line 2 holds"):
        decode("a\nKöln\n".encode("cp1252"), "utf-8")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(DataError, match="it holds zero bytes"):
        decode(b"PK\x03\x04" + bytes(range(1, 100)) + b"\0\0", None)
