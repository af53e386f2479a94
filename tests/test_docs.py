"""Pages of documentation whose examples are run, and whose outputs are compared."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["grad_fn.md"])
def test_every_output_is_what_the_lines_above_it_print(page: str) -> None:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) > 10
    names: dict[str, object] = {}
    printed: str | None = None
    for kind, text in blocks:
        if kind == "text":
            assert printed == text
            printed = None
        else:
            assert kind == "python" and not printed, f"its output is not shown: {text}"
            heard = io.StringIO()
            with contextlib.redirect_stdout(heard), warnings.catch_warnings():
                exec(compile(text, page, "exec"), names)
            printed = heard.getvalue()
    assert not printed
