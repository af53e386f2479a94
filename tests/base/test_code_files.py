"""Which files a script is made of."""

from __future__ import annotations

from pathlib import Path

from sweep.base.code_files import fingerprints


def test_a_script_and_what_it_imports_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "parts/inner").mkdir(parents=True)
    for name, text in {
        "train.py": "import torch, near\nfrom parts import layers\n",
        "near.py": "def f():\n    import parts.inner.deep as deep\n    import train\n",
        "far.py": "",
        "parts/__init__.py": "",
        "parts/layers.py": "from . import blocks\nfrom .inner import deep\n",
        "parts/blocks.py": "",
        "parts/inner/deep.py": "this is no Python",
    }.items():
        (folder / name).write_text(text)
    before = fingerprints(folder / "train.py")
    parts = {f"parts/{name}.py" for name in ("__init__", "layers", "blocks", "inner/deep")}
    assert before.keys() == {"train.py", "near.py", *parts}
    (folder / "parts/inner/deep.py").write_text("nor is this")
    (folder / "far.py").write_text("import torch")
    after = fingerprints(folder / "train.py")
    assert [name for name in before if after[name] != before[name]] == ["parts/inner/deep.py"]
    assert fingerprints(folder / "missing.py") == {}
