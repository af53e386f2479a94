"""A loss of the user's own that compares each prediction with all targets is told of."""

from __future__ import annotations

from pathlib import Path

import pytest
from twins import builder, make_data

from sweep.study.sections import ModelConfig
from sweep.training.contract import TrainingSettings
from sweep.training.criterion import Criterion
from sweep.training.examine.pairs import pair_notes

LOSSES = """
def rows(predictions, targets):
    return (predictions - targets).abs().mean()

def pairs(predictions, targets):
    return (predictions.unsqueeze(-1) - targets).square().mean()

def column(predictions, targets):
    return (predictions.view(-1, 1) - targets).abs().mean()

def few(predictions, targets):
    assert len(targets) > 20
    return (predictions - targets).square().mean()
"""


@pytest.mark.parametrize(
    ("loss", "is_told"), [("rows", False), ("pairs", True), ("column", True), ("few", False)]
)
def test_pairs_of_rows_are_told(loss: str, is_told: bool, tmp_path: Path) -> None:
    (tmp_path / "losses_of_pairs.py").write_text(LOSSES)
    settings = TrainingSettings(
        epochs=1, batch_size=32, loss=f"losses_of_pairs:{loss}", folders=(tmp_path,)
    )
    data = make_data()
    notes = pair_notes(builder(ModelConfig())(0), data, Criterion.of(settings, data))
    assert len(notes) == is_told
    assert all(f"losses_of_pairs:{loss}" in note and "(13, 13)" in note for note in notes)
