"""A study that goes on with other code of the user's own than its first trials had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_runs import Notes, sweep

from sweep.report.summary import summarise

OWN = {
    "own_net/code.py": "from torch import nn\n"
    "class Net(nn.Linear):\n"
    "    def __init__(self, features): super().__init__(features, 1)\n",
    "own_loss.py": "import helper_of_loss\n"
    "def cubed(predictions, y): return (predictions - y).abs().pow(3).mean()\n",
    "helper_of_loss.py": "",
    "own_metric.py": "def worst(predictions, y): return (predictions - y).abs().max()\n",
    "own_noise/code.py": "def same(x, seed): return x\n",
}
SETTINGS: dict[str, Any] = {
    "model__name": "own_net/code.py:Net",
    "training__loss": "own_loss:cubed",
    "metric": "own_metric:worst",
    "data__augment": "own_noise/code.py:same",
    "pruner__name": "none",
    "workers": 1,
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_every_file_of_it_is_watched(tmp_path: Path) -> None:
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    sweep(tmp_path, trials=1, **SETTINGS)
    unchanged = Notes()
    sweep(tmp_path, unchanged, trials=2, **SETTINGS)
    assert not any("changed" in note for note in unchanged.notes)
    for name in OWN:
        (tmp_path / name).write_text(OWN[name] + "# mended\n")
    listener = Notes()
    study, config, location = sweep(tmp_path, listener, trials=3, **SETTINGS)
    (told,) = (note for note in listener.notes if "changed since this study's first" in note)
    names = {"code.py", "own_noise/code.py", "own_loss.py", "helper_of_loss.py", "own_metric.py"}
    assert all(name in told for name in names) and "--fresh" in told
    noticed = " ".join(summarise(study, config, location.folder).cautions)
    assert "own_loss.py" in noticed
