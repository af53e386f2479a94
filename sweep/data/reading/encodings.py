"""The text of a file whose encoding nobody has told."""

from __future__ import annotations

import codecs
import re

from sweep.base.errors import DataError

PLAIN, MARKED = "utf-8", "utf-8-sig"
"""The second begins with a byte-order mark, without which Excel takes it for cp1252."""

_MARKS = (
    (codecs.BOM_UTF8, MARKED),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks; that of UTF-16 is the beginning of one of UTF-32, so its place is below."""

_LOOKED_AT = 1 << 20
"""So many bytes are looked at, from the line of the first one that is not UTF-8 on."""

_NOT_IN_CP1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}

_WESTERN = {*range(0xC0, 0x100), *b"\x8a\x8c\x8e\x9a\x9c\x9e\x9f"} - {0xD7, 0xF7} | {
    *b"\x80\x84\x85\x91\x92\x93\x94\x96\x97\xa0\xa3\xa7\xaa\xb0\xb2\xb3\xb5\xba\xbd"
}
"""Letters of cp1252 with accents, and its signs that stand in tables and texts."""

_MOSTLY = 0.75

_HIGH_RUN = re.compile(rb"[\x80-\xff]+")


def decode(data: bytes, encoding: str | None) -> tuple[str, str]:
    """The text, without a byte-order mark, and its encoding.

    A mark decides; else UTF-16 shows by its zero bytes, and UTF-8 by being valid from beginning to
    end. What is left is Chinese (GB18030, which holds GBK and GB2312) where the bytes above 127
    come in pairs, most of them of common characters, and Western European (cp1252) where most of
    them are its letters, no more than two in a row.

    Args:
        data: The bytes, uncompressed.
        encoding: Its name if it is known; any of Python's text encodings.

    Raises:
        DataError: The bytes are not of that encoding, or it cannot be told.
    """
    name = encoding or _encoding(data)
    if data.startswith(codecs.BOM_UTF8) and codecs.lookup(name).name == PLAIN:
        name = MARKED
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        given = f"data.encoding = {name!r} does not fit"
        why = given if encoding else f"seems to be {name}, but is not"
        raise DataError(f"{why}: line {line} holds {_shown(data, error.start)}") from None
    text = text.removeprefix("\ufeff")
    if "\0" in text[:_LOOKED_AT]:
        raise DataError("it holds zero bytes, so it is no text; is its ending right?")
    return text, name


def _encoding(data: bytes) -> str:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    zeros = [data[start:4096:2].count(0) for start in (0, 1)]
    if max(zeros) > min(len(data), 4096) / 10 and min(zeros) < max(zeros) / 10:
        return "utf-16-le" if zeros[1] else "utf-16-be"
    try:
        data.decode(PLAIN)
    except UnicodeDecodeError as error:
        _refuse_damaged(data, error.start)
        line = data.rfind(b"\n", 0, error.start) + 1  # not in the middle of a character
        return _legacy(data[line:][:_LOOKED_AT])
    return PLAIN


def _refuse_damaged(data: bytes, start: int) -> None:
    """Refuse UTF-8 with a few wrong bytes: read as anything else, all its texts would be wrong."""
    around = data[max(start - _LOOKED_AT, 0) : start + _LOOKED_AT]
    text = around.decode(PLAIN, errors="replace")
    wrong = text.count("\ufffd")
    right = sum(not character.isascii() for character in text) - wrong
    if right > 4 * wrong:
        line = data.count(b"\n", 0, start) + 1
        raise DataError(
            f"line {line} holds {_shown(data, start)}, which is not UTF-8, though the rest is; "
            'mend it, or name the encoding under [data]: encoding = "cp1252"'
        )


def _legacy(data: bytes) -> str:
    """GB18030 or cp1252, for bytes that are no UTF-8."""
    lengths = [len(run) for run in _HIGH_RUN.findall(data)]
    alone = sum(length == 1 for length in lengths)
    paired = sum(length % 2 == 0 for length in lengths)
    if paired > alone and _is_chinese(data):
        return "gb18030"
    short = sum(length <= 2 for length in lengths)  # as in größe; words of others are longer
    high = [byte for byte in data if byte > 127]
    western = sum(byte in _WESTERN for byte in high)
    is_western = short >= len(lengths) / 2 and western >= _MOSTLY * len(high)
    if is_western and not set(data) & _NOT_IN_CP1252:
        return "cp1252"
    raise DataError(
        "its encoding cannot be told from its bytes; name it under [data], such as "
        'encoding = "cp1251", "shift_jis" or "big5"'
    )


def _is_chinese(data: bytes) -> bool:
    """Whether it is GB18030, mostly of the 3755 common characters; Russian gives rare ones."""
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(data)
    except UnicodeDecodeError:
        return False
    leads = [character.encode("gb18030")[0] for character in text if not character.isascii()]
    common = sum(0xB0 <= lead <= 0xD7 or 0xA1 <= lead <= 0xA9 for lead in leads)
    return common > len(leads) / 2


def _shown(data: bytes, start: int) -> str:
    return f"the byte 0x{data[start]:02x}"
