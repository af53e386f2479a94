"""Pages of documentation whose examples are run, and whose outputs are compared."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
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


def test_the_reference_of_the_study_file_is_in_step_with_the_settings() -> None:
    made = runpy.run_path(str(DOCS / "study_file.py"))["page"]()
    written = (DOCS / "study-file.md").read_text(encoding="utf-8")
    assert written == made, "write it again: .venv/bin/python docs/study_file.py"
