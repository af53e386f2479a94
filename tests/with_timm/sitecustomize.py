"""Lets timm be imported beside a build of torch without CUDA; Python runs it when it starts.

timm takes image transforms from torchvision, whose build on PyPI is for torch with CUDA: beside
another one its operators cannot be loaded, and importing it ends with "operator torchvision::nms
does not exist". Declaring them is enough for whoever calls none of them. That is why it is kept
out of the environment of the other tests.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import torch

untyped: Any = torch
found = importlib.util.find_spec("torchvision")
assert found is not None and found.submodule_search_locations
folder = Path(found.submodule_search_locations[0])
try:
    untyped.ops.load_library(str(next(folder.glob("_C*.so"))))
except OSError:
    library = untyped.library.Library("torchvision", "DEF")
    described = (folder / "_meta_registrations.py").read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r'(?:torchvision::|register_meta\(")(\w+)', described))):
        library.define(f"{name}(Tensor x) -> Tensor")
