"""Sentences in the reader's language: English stands where it is used, and is the key of the other.

This is gettext's convention, `_("{distance} behind", distance=distance)`, with catalogues that are
read as they are written: Python's own gettext wants them compiled, and cannot tell a sentence that
was written down in English. A sentence without a translation stays English.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files

ENGLISH, CHINESE = "en", "zh"
LANGUAGES = (ENGLISH, CHINESE)

_COUNTED = re.compile(r"(?P<count>[\d.,]+) (?P<noun>.+?)s?")
"""What `wording.counted` gives."""

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


@contextmanager
def language(name: str) -> Iterator[None]:
    """What is said inside is said in this one of `LANGUAGES`."""
    before = _current.set(name)
    try:
        yield
    finally:
        _current.reset(before)


def current() -> str:
    """The language of what is said now."""
    return _current.get()


def language_of(environment: Mapping[str, str]) -> str:
    """The language that an environment asks for, as POSIX has it: Chinese for `zh*`, or English."""
    asked = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    first = next(filter(None, asked), "")
    return CHINESE if first.lower().startswith(CHINESE) else ENGLISH


def translation(template: str) -> str | None:
    """A template's translation; None if there is none, as in English."""
    known = _catalogue(current())
    return known["said"].get(template, known["kept"].get(template))


def _(template: str, **values: object) -> str:
    """A sentence in the current language.

    Args:
        template: In English, with the names of its values: `{distance} behind`. Braces that mean
            themselves are doubled.
        values: By name; a translation may have them in another order.
    """
    return (translation(template) or template).format(**values)


def plural(count: int, one: str, several: str, **values: object) -> str:
    """A sentence about a number of things; `several` is the key of its translation.

    Args:
        count: Of things; `{count}` in the templates.
        one: English, of one thing.
        several: English, of any other number.
        values: As `_` has them.
    """
    template = translation(several) or (one if count == 1 else several)
    return template.format(count=count, **values)


def kept(template: str, **values: object) -> str:
    """A sentence that is written down, and so in English; `read_back` translates it."""
    return template.format(**values)


def read_back(text: str) -> str:
    """A sentence that `kept` gave once, or several with commas or semicolons between them.

    Values that were counted, `12 trials`, or kept themselves are translated with it. A text that
    begins with something else stays as it is.
    """
    for pattern, translated in _kept_patterns(current()):
        if found := pattern.fullmatch(text):
            values = {name: read_back(value) for name, value in found.groupdict().items()}
            return translated.format(**values)
    if (found := _COUNTED.fullmatch(text)) and (noun := translation(f"{{count}} {found['noun']}")):
        return noun.format(count=found["count"])
    for separator in ("; ", ", "):
        first, *others = text.split(separator)
        if others and read_back(first) != first:
            return (translation(separator) or separator).join(map(read_back, [first, *others]))
    return text


@cache
def _catalogue(name: str) -> Mapping[str, Mapping[str, str]]:
    """A language's translations: of what is said, and of what has been kept."""
    if name == ENGLISH:
        return {"said": {}, "kept": {}}
    return tomllib.loads(
        (files("sweep.base.languages") / f"{name}.toml").read_text(encoding="utf-8")
    )


@cache
def _kept_patterns(name: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_pattern(each), text) for each, text in _catalogue(name)["kept"].items())


def _pattern(template: str) -> re.Pattern[str]:
    """What matches a filled template, with a group for each of its values."""
    parts, seen = [], set[str]()
    for text, name, *_rest in string.Formatter().parse(template):
        parts.append(re.escape(text))
        if name:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+?)")
            seen.add(name)
    return re.compile("".join(parts), re.DOTALL)
