"""Which folders of trials stay while a study is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_studies import COMPLETE, PRUNED, add, new_study, params

from sweep.confirm import trial_folders
from sweep.confirm.trial_folders import remove_hopeless
from sweep.search.context import RunContext
from sweep.search.trials import StudyReader
from sweep.study.locations import Location
from sweep.study.results_folder import TRIALS
from sweep.study.settings import StudyConfig

CONFIG = StudyConfig.model_validate(
    {"loop": "nowhere:train", "metric": "val_mse", "epochs": 4, "confirm": {"enabled": False}}
)
TRIALS_IN_ALL = 40


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """Forty trials, the later the worse, of which the last was pruned; each has a folder."""
    study = new_study()
    for number in range(TRIALS_IN_ALL):
        state = PRUNED if number == TRIALS_IN_ALL - 1 else COMPLETE
        values = [9.0, 8.0, 7.0, 6 + number / 100]
        add(study, params("cosine", 0.1 + number / 100), values, state, config=CONFIG)
        (tmp_path / TRIALS / str(number)).mkdir(parents=True)
    (tmp_path / TRIALS / "40").mkdir()  # of one in training
    reader = StudyReader(study, CONFIG)
    return RunContext(Location("shop", None, tmp_path), CONFIG, None, reader, print)


def left(context: RunContext) -> set[int]:
    return {int(folder.name) for folder in (context.location.folder / TRIALS).iterdir()}


def test_those_that_will_not_win_go_and_are_looked_for_no_more(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_hopeless(context)
    kept = left(context)
    assert {0, 39, 40} <= kept and len(kept) < 20 and 38 not in kept
    removed = list[str]()

    class Shutil:
        """The module, whose `rmtree` says what it is called with."""

        @staticmethod
        def rmtree(folder: Path, ignore_errors: bool) -> None:
            removed.append(folder.name)
            shutil.rmtree(folder, ignore_errors)

    monkeypatch.setattr(trial_folders, "shutil", Shutil)
    (context.location.folder / TRIALS / "30").mkdir()
    remove_hopeless(context)
    assert removed == ["30"] and left(context) == kept


def test_where_no_trial_has_one_nothing_is_read(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(context.location.folder / TRIALS)
    monkeypatch.setattr(StudyReader, "trials", property(lambda reader: pytest.fail("it was read")))
    remove_hopeless(context)
