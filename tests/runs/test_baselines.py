"""A user's present schedule: trained first, never pruned, confirmed, and compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from small_runs import Notes
from support import no_page

from sweep.confirm.best_schedule import BestSchedule
from sweep.report.all_files import write_report
from sweep.report.summary import Summary, summarise
from sweep.report.writers import to_markdown
from sweep.runs.library import load_study as load_result
from sweep.runs.run import run_sweep
from sweep.runs.warm_start import best_of_other
from sweep.search.origins import BASELINE
from sweep.search.tables import results_frame
from sweep.search.trials import Ending, StudyReader, Trial
from sweep.study.file import load_study
from sweep.study.locations import SAVED_STUDY, Location
from sweep.study.settings import StudyConfig

pytestmark = pytest.mark.slow

FAR = "torch: StepLR(step_size=1, gamma=0.1), lr=0.5"
"""Outside of the space in rate and scheduler, and behind."""
NEAR = "cosine, lr=0.02, decay=0.01, name='what we use'"
SETTINGS: dict[str, Any] = {
    **{"data.source": "diabetes", "model.name": "linear", "epochs": 3, "trials": 8},
    **{"workers": 1, "deterministic": True, "confirm.seeds": 3},
    **{"space.scheduler": ["constant", "cosine"], "space.lr": "1e-3:0.1:log"},
    **{"sampler.name": "random", "pruner.rungs": [1], "pruner.keep": 0.01},
}
Ran = tuple[list[Trial], Summary, Notes, Path]


def sweep(folder: Path, **changes: Any) -> Ran:
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    config, notes = load_study(None, settings), Notes()
    location = Location("small", folder / "small.toml", folder / "small")
    with no_page():
        study = run_sweep(location, config, notes)
    return *read(study, config, location.folder), notes, location.folder


def read(study: optuna.Study, config: StudyConfig, folder: Path) -> tuple[list[Trial], Summary]:
    return StudyReader(study, config).trials, summarise(study, config, folder)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return sweep(tmp_path_factory.mktemp("ran"), baseline=[FAR, NEAR])


def test_they_are_trained_first_and_to_their_end_whatever_they_are(ran: Ran) -> None:
    trials, summary, notes, _ = ran
    far, near = trials[:2]
    assert [trial.baseline for trial in trials[:3]] == [
        "step, lr=0.5, decay=0.01, drops=2",
        "what we use",
        "",
    ]
    assert far.schedule.describe() == "step, lr 0.5, decay 0.01, drops 2" and not far.parameters
    assert near.parameters == {"scheduler": "cosine", "lr": 0.02, "decay": 0.01, "warmup": 0.0}
    assert far.ending == near.ending == Ending.COMPLETED
    assert any(trial.ending == Ending.PRUNED for trial in trials)
    assert len([trial for trial in trials if trial.completes is None]) == 8 == summary.counts.asked
    told = "StepLR(step_size=1, gamma=0.1) over 3 epochs is step, lr=0.5, decay=0.01, drops=2"
    assert told in notes.notes


def test_they_are_confirmed_and_compared_with(ran: Ran) -> None:
    _, summary, _, folder = ran
    confirmation = summary.confirmation
    assert confirmation is not None
    by_trial = {candidate.trial: candidate for candidate in confirmation.candidates}
    assert by_trial[0].baseline == "step, lr=0.5, decay=0.01, drops=2"
    assert by_trial[1].baseline == "what we use"
    assert len(by_trial) > 3  # they take no other's place
    constant = confirmation.constant
    assert constant is not None and not constant.baseline
    assert [each.verdict for each in summary.baselines] == [
        confirmation.behind(by_trial[0]),
        confirmation.behind(by_trial[1]),
    ]
    assert summary.baselines[1].sentence.startswith("what we use (cosine, lr 0.02, decay 0.01): ")
    written = BestSchedule.read(folder)
    assert written is not None and written.confirmed(summary.metric) == confirmation
    markdown = to_markdown(summary)
    assert "- Baseline: what we use (cosine" in markdown
    assert markdown.count("(baseline)") == 2
    told = json.loads(json.dumps(summary.to_dict()))["baselines"]
    assert [(each["name"], each["trial"]) for each in told][1] == ("what we use", 1)


def test_tables_hold_what_it_is_trained_with(ran: Ran) -> None:
    trials, _, _, folder = ran
    config = load_study(folder / SAVED_STUDY)
    frame = results_frame(trials, config)
    assert list(frame["baseline"][:3]) == ["step, lr=0.5, decay=0.01, drops=2", "what we use", ""]
    assert frame["step.drops"][0] == 2 and pd.isna(frame["step.drops"][1])


def test_a_report_is_drawn_with_one_that_no_range_holds(ran: Ran) -> None:
    _, summary, _, folder = ran
    config = load_study(folder / SAVED_STUDY)
    study = load_result(folder).study
    unwritten: list[str] = []
    write_report(study, config, folder, lambda *told: unwritten.append(str(told)))
    page = (folder / "report.html").read_text()
    assert not unwritten
    for baseline in summary.baselines:
        assert f"<dt>Baseline</dt><dd>{baseline.sentence}.</dd>" in page


def test_it_is_compared_with_from_the_search_where_nothing_is_confirmed(tmp_path: Path) -> None:
    trials, summary, _, _ = sweep(tmp_path, baseline=FAR, confirm=False, trials=3)
    (baseline,) = summary.baselines
    assert baseline.name == "your present schedule" and baseline.value == trials[0].value
    assert baseline.verdict.endswith("behind by one training each, which may be luck")


def test_a_later_run_trains_a_new_one_beyond_its_trials(tmp_path: Path) -> None:
    changes = {"confirm": False, "trials": 3}
    sweep(tmp_path, baseline=FAR, **changes)
    trials, summary, _, _ = sweep(tmp_path, baseline=[FAR, NEAR], **changes)
    assert [bool(trial.baseline) for trial in trials if trial.completes is None] == [
        True,
        False,
        False,
        True,
    ]
    assert summary.counts.asked == 4 and trials[-1].ending == Ending.COMPLETED
    again, _, notes, _ = sweep(tmp_path, baseline=[FAR, NEAR], **changes)
    assert len(again) == len(trials)
    assert "none is trained" in notes.notes[-1]


def test_no_sampler_of_a_fair_study_learns_from_it(tmp_path: Path) -> None:
    trials, summary, _, _ = sweep(
        tmp_path, baseline=NEAR, fair=True, sampler__name="auto", confirm=False, trials=5
    )
    assert trials[0].baseline and not trials[0].parameters
    drawn = [t.scheduler for t in trials[1:] if t.completes is None]
    assert sorted(drawn) == ["constant", "constant", "cosine", "cosine"]
    assert len(summary.baselines) == 1


def test_a_loop_trains_it_and_one_that_ends_early_is_trained_on_once(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(
        "import math, optuna\n"
        "import torch\n"
        "def train(schedule, *, epochs):\n"
        "    weight = torch.nn.Parameter(torch.ones(()))\n"
        "    schedule.attach(torch.optim.SGD([weight], lr=1.0), steps_per_epoch=1)\n"
        "    for epoch in range(epochs):\n"
        "        yield abs(math.log(schedule.lr / 0.1))\n"
        "        if schedule.lr == 9.0 and epoch == 1:\n"
        "            raise optuna.TrialPruned('enough')\n"
    )
    loop = {"loop": "loop.py:train", "epochs": 3, "trials": 4, "workers": 1}
    config = load_study(None, {**loop, "confirm.seeds": 3, "baseline": "cosine,lr=9"})
    location = Location("small", tmp_path / "small.toml", tmp_path / "small")
    with no_page():
        study = run_sweep(location, config, Notes())
    trials, summary = read(study, config, location.folder)
    assert trials[0].ending == Ending.PRUNED and trials[0].schedule.lr == 9.0
    assert [t.completes for t in trials if t.baseline] == [None, 0]
    assert summary.baselines[0].trial == [t.number for t in trials if t.baseline][-1]


def test_another_study_may_begin_with_it(ran: Ran, tmp_path: Path) -> None:
    _, _, _, folder = ran
    changes = {"warm_start": str(folder), "space.lr": "1e-3:1:log", "baseline": []}
    config = load_study(folder / SAVED_STUDY, {**changes, "name": "next"})
    carried = best_of_other(Location("next", None, tmp_path / "next"), config)
    assert any("step is not searched here" in reason for reason in carried.left_out)
    wider = load_study(
        folder / SAVED_STUDY,
        {**changes, "space.scheduler": ["cosine", "constant", "step"], "name": "next"},
    )
    carried = best_of_other(Location("next", None, tmp_path / "next"), wider)
    given = {trial.trial: trial.parameters for trial in carried.trials}
    assert given[0]["scheduler"] == "step" and given[0]["lr"] == 0.5


def test_optuna_has_it_as_a_trial_with_an_attribute(ran: Ran) -> None:
    _, _, _, folder = ran
    first = load_result(folder).study.get_trials()[0]
    assert first.user_attrs[BASELINE] == "step, lr=0.5, decay=0.01, drops=2"
    assert first.values and not first.params
