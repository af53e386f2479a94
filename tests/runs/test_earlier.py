"""What it takes to find out what a study has, and to go on with it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_studies import add, params
from optuna.trial import FrozenTrial, TrialState

from sweep.runs.before.earlier import earlier
from sweep.runs.opening import enqueue_first, open_sweep
from sweep.search.context import RunContext
from sweep.search.storage import journal
from sweep.search.storage.opening import flush
from sweep.search.storage.urls import JOURNAL, storage_url
from sweep.search.trials import StudyReader, Trial
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig

CONFIG = StudyConfig.model_validate(
    {"loop": "nowhere:train", "metric": "val_mse", "epochs": 4, "sampler": "family"}
)


def opened(folder: Path, config: StudyConfig = CONFIG) -> RunContext:
    context, _ = open_sweep(Location("mine", None, folder), config, None, False, print)
    return context


@pytest.fixture(params=["journal", "sqlite"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> StudyConfig:
    storage = None if request.param == "journal" else str(tmp_path / "study.db")
    return CONFIG.model_copy(update={"storage": storage})


@pytest.fixture
def folder(tmp_path: Path, config: StudyConfig) -> Path:
    """A study of six trials, two of them pruned."""
    folder = tmp_path / "out"
    folder.mkdir()
    study = opened(folder, config).study
    for number in range(6):
        state = TrialState.PRUNED if number % 3 else TrialState.COMPLETE
        add(study, params("cosine", 0.1 + number / 10), [4, 3, 2, 1], state, config=config)
    flush(study)
    return folder


def test_a_study_that_goes_on_is_read_once(
    folder: Path, config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, converted = Counter[str](), Counter[int]()

    class Json:
        """The module, whose `loads` counts what it reads."""

        dumps = json.dumps

        @staticmethod
        def loads(line: bytes) -> Any:
            read[bytes(line).decode()] += 1
            return json.loads(line)

    convert = StudyReader._converted

    def counted(self: StudyReader, frozen: FrozenTrial) -> Trial:
        converted[frozen.number] += 1
        return convert(self, frozen)

    before = (folder / JOURNAL).read_text().splitlines(keepends=True) if not config.storage else []
    monkeypatch.setattr(journal, "json", Json)
    monkeypatch.setattr(StudyReader, "_converted", counted)
    context = opened(folder, config)
    enqueue_first(context, None)
    assert [trial.number for trial in context.trials] == [0, 1, 2, 3, 4, 5]
    assert converted == Counter(range(6))
    assert read == Counter(before)


def test_it_goes_on_with_what_the_run_draws_and_prunes_by(
    folder: Path, config: StudyConfig
) -> None:
    context = opened(folder, config)
    assert type(context.study.sampler).__name__ == "FamilySampler"
    assert type(context.study.pruner).__name__ == "HalvingPruner"
    trial = context.study.ask()
    context.config.search_space.suggest(trial)
    trial.report(1.0, 1)
    context.study.tell(trial, 0.5)
    flush(context.study)
    assert [trial.number for trial in opened(folder, config).trials] == [0, 1, 2, 3, 4, 5, 6]


def test_a_look_reads_it_and_writes_nothing(folder: Path, config: StudyConfig) -> None:
    place = Path(config.storage) if config.storage else folder / JOURNAL
    before = place.read_bytes(), place.stat().st_mtime_ns
    url = storage_url(config.storage, folder)
    found = earlier(Location("mine", None, folder), config, None, url, fresh=False)
    assert found.stays and [trial.number for trial in found.trials] == [0, 1, 2, 3, 4, 5]
    assert (place.read_bytes(), place.stat().st_mtime_ns) == before
