"""What is said to be next, by what a results folder has."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_studies import mixed, rendered

from sweep.report.terminal.next_steps import next_steps


@pytest.mark.parametrize(("model", "trust"), [("mlp", ""), ("net.py:Net", " --trust")])
def test_predictions_where_there_is_a_model(tmp_path: Path, model: str, trust: str) -> None:
    assert "sweep predict" not in rendered(next_steps(mixed(tmp_path), tmp_path, 200), 200)
    (tmp_path / "best_model.pt").touch()
    (tmp_path / "study.toml").write_text(f'[model]\nname = "{model}"\n')
    told = rendered(next_steps(mixed(tmp_path), tmp_path, 200), 200)
    assert f"sweep predict {tmp_path} new.csv{trust}\n" in told
