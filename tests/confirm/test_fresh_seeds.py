"""Confirmation and audit of real sweeps."""

from __future__ import annotations

import json
import math
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from support import no_page

from sweep.base.errors import InputError, StudyChangedError
from sweep.confirm.audit import audit
from sweep.confirm.best_files import write_best
from sweep.confirm.candidate import ranked
from sweep.confirm.candidates import chosen
from sweep.confirm.fresh_seeds import confirm
from sweep.confirm.verdict import Confirmation
from sweep.data.load import load_dataset
from sweep.report.summary import summarise
from sweep.report.writers import to_markdown
from sweep.runs.audit import run_audit
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.search.context import RunContext
from sweep.search.trials import Ending, StudyReader, completed, standing, standing_for_themselves
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.metric import MSE
from sweep.study.results_folder import BEST_CODE, BEST_SCHEDULE
from sweep.study.settings import StudyConfig
from sweep.training.contract import EpochResult
from sweep.training.workers.messages import WorkerSetup
from sweep.training.workers.process_pool import ProcessPool
from sweep.training.workers.time_limit import TimeLimit

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "data.source": "diabetes",
    "model.name": "mlp",
    "model.hidden": [8],
    "epochs": 6,
    "trials": 40,
    "workers": 1,
    "space.scheduler": ["constant", "cosine", "step", "linear"],
    "space.lr": "1e-3:0.3:log",
    "sampler.name": "random",
}


class Heard(Listener):
    def __init__(self) -> None:
        self.retrained = 0
        self.notes: list[str] = []

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        self.retrained = epochs

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def sweep(folder: Path, **changes: Any) -> tuple[optuna.Study, StudyConfig, Path, Heard]:
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    config, heard = load_study(None, settings), Heard()
    location = Location("small", None, folder / "small")
    with no_page():
        study = run_sweep(location, config, heard)
    return study, config, location.folder, heard


Ran = tuple[optuna.Study, StudyConfig, Path, Heard]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A study as its run left it."""
    return sweep(tmp_path_factory.mktemp("ran"))


@pytest.fixture(scope="module")
def confirmed(
    ran: Ran, tmp_path_factory: pytest.TempPathFactory
) -> tuple[optuna.Study, StudyConfig, Path]:
    """The same, for tests that write audits into its folder."""
    study, config, folder, _ = ran
    copied(folder, copy := tmp_path_factory.mktemp("confirmed"))
    return study, config, copy / folder.name


def copied(folder: Path, into: Path) -> Path:
    """A study's folder, where `sweep` looks for it."""
    return Path(shutil.copytree(folder, into / folder.name))


def read(folder: Path) -> tuple[Confirmation, pd.DataFrame, dict[str, Any]]:
    described = json.loads((folder / BEST_SCHEDULE).read_text())
    confirmation = Confirmation.from_dict(described["confirmation"], MSE)
    return confirmation, pd.read_csv(folder / "confirm.csv"), described


def test_the_best_and_the_best_constant_rate_are_confirmed(confirmed: Any) -> None:
    study, config, folder = confirmed
    confirmation, runs, described = read(folder)
    done = completed(StudyReader(study, config).trials, config.measure)
    best = [(trial.number, trial.scheduler) for trial in done]
    constant = next(number for number, scheduler in best if scheduler == "constant")
    others = [number for number, scheduler in best if scheduler != "constant"]
    trials = {candidate.trial for candidate in confirmation.candidates}
    assert trials >= {constant, *others[:2]}
    assert len(trials) == 4  # 40 trials pay for no more
    assert len({candidate.schedule.scheduler for candidate in confirmation.candidates}) > 2
    assert confirmation.constant is not None and confirmation.constant.trial == constant
    assert len(runs) == confirmation.runs
    assert described["trial"] == confirmation.winner.trial
    assert described["schedule"] == confirmation.winner.schedule.to_dict()
    assert described["best_of_search"] == best[0][0]


def test_candidates_are_paired_on_fresh_seeds(confirmed: Any) -> None:
    study, _, folder = confirmed
    confirmation, runs, _ = read(folder)
    searched = {trial.user_attrs["seed"] for trial in study.get_trials()}
    assert not searched & set(confirmation.seeds)
    for candidate in confirmation.candidates:
        mine = runs[runs["trial"] == candidate.trial]
        count = len(candidate.values)
        assert tuple(mine["seed"]) == confirmation.seeds[:count]
        assert tuple(mine["val_mse"]) == pytest.approx(candidate.values)
        assert tuple(mine["best_val_mse"]) == pytest.approx(candidate.values)  # they decide here
        assert tuple(mine["final_val_mse"]) == pytest.approx(candidate.other_values)


def test_a_run_takes_the_course_of_a_trial_with_that_seed(confirmed: Any, tmp_path: Path) -> None:
    """What confirm.csv says of a seed is what a study from that seed gives."""
    _, config, folder = confirmed
    confirmation, *_ = read(folder)
    from sweep.training.build import build_engine
    from sweep.training.contract import EpochResult, OptimizerSettings, TrainingSettings, TrialSpec

    data = load_dataset(config.data, config.seed)
    engine = build_engine(
        data, config.model, (), TrainingSettings(config.epochs), "sequential", None
    )
    winner = confirmation.winner
    engine.add(TrialSpec(0, confirmation.seeds[0], winner.schedule, OptimizerSettings()))
    results = [result for _ in range(config.epochs) for result in engine.train_epoch()]
    values = [result.value for result in results if isinstance(result, EpochResult)]
    assert min(values) == pytest.approx(winner.values[0], rel=1e-4)
    assert values[-1] == pytest.approx(winner.other_values[0], rel=1e-4)


def test_the_report_speaks_of_the_confirmed_winner(confirmed: Any) -> None:
    study, config, folder = confirmed
    confirmation, _, described = read(folder)
    summary = summarise(study, config, folder)
    assert summary.confirmation == confirmation
    assert summary.best is not None and summary.best.number == confirmation.winner.trial
    assert f"over {len(confirmation.winner.values)} fresh seeds" in summary.headline
    assert summary.gain == confirmation.against_constant
    assert summary.to_dict()["confirmation"] == described["confirmation"]


def test_a_better_trial_since_makes_a_confirmation_stale(confirmed: Any) -> None:
    study, config, folder = confirmed
    other = optuna.create_study()
    other.add_trials(study.get_trials())
    best = study.best_trial
    frozen = optuna.trial.create_trial(
        params=best.params,
        distributions=best.distributions,
        value=best.value / 2,
        user_attrs=best.user_attrs,
    )
    other.add_trial(frozen)
    summary = summarise(other, config, folder)
    assert summary.confirmation is None
    assert summary.best is not None and summary.best.number == len(study.get_trials())


def test_running_again_confirms_only_what_is_missing(ran: Ran, tmp_path: Path) -> None:
    assert ran[-1].retrained > 0
    folder = copied(ran[2], tmp_path)
    before = read(folder)
    for _ in range(2):
        _, _, _, again = sweep(tmp_path)
        assert again.retrained == 0
        assert not any("once more" in note for note in again.notes)
        assert read(folder)[0] == before[0]
    rows = before[1]
    rows.iloc[: len(rows) // 2].to_csv(folder / "confirm.csv", index=False)  # as if interrupted
    _, _, _, after = sweep(tmp_path)
    assert 0 < after.retrained
    assert read(folder)[0] == before[0]


def test_runs_of_a_version_without_both_values_are_not_trained_again(
    ran: Ran, tmp_path: Path
) -> None:
    folder = copied(ran[2], tmp_path)
    confirmation, rows, _ = read(folder)
    rows.drop(columns=["best_val_mse", "final_val_mse"]).to_csv(folder / "confirm.csv", index=False)
    study, config, _, again = sweep(tmp_path)
    after, written, described = read(folder)
    assert again.retrained == 0
    assert [c.values for c in after.candidates] == [c.values for c in confirmation.candidates]
    assert not any(c.other_interval for c in after.candidates) and not after.by_other_question
    assert list(written["best_val_mse"]) == list(written["val_mse"])
    assert written["final_val_mse"].isna().all()
    means = [candidate["means"] for candidate in described["confirmation"]["candidates"]]
    assert all(each["best"] and each["final"] is None for each in means)
    assert "unknown" in to_markdown(summarise(study, config, folder))


def test_a_confirmation_may_be_left_out_or_made_larger(tmp_path: Path) -> None:
    study, _, folder, heard = sweep(tmp_path, confirm__enabled=False)
    described = json.loads((folder / BEST_SCHEDULE).read_text())
    assert described["confirmation"] is None and heard.retrained == 0
    assert described["trial"] == study.best_trial.number
    assert not (folder / "confirm.csv").exists()
    sweep(tmp_path, confirm__share=1.0, confirm__seeds=4, confirm__top=3)
    confirmation, *_ = read(folder)
    assert len(confirmation.seeds) <= 4
    assert 3 <= len(confirmation.candidates) <= 4


def test_a_fair_study_confirms_each_scheduler_on_the_same_seeds(tmp_path: Path) -> None:
    _, config, folder, _ = sweep(tmp_path, fair=True, pruner__name="none", confirm__share=0.5)
    confirmation, *_ = read(folder)
    names = [candidate.schedule.scheduler for candidate in confirmation.candidates]
    assert sorted(names) == sorted(config.space.scheduler)
    assert {len(c.values) for c in confirmation.candidates} == {len(confirmation.seeds)}
    assert not confirmation.raced


def test_an_audit_trains_pruned_trials_to_their_end(confirmed: Any) -> None:
    study, config, folder = confirmed
    found = run_audit(folder, config, study, 1000, Listener())
    trials = StudyReader(study, config).trials
    pruned = [t for t in standing_for_themselves(trials) if t.ending == Ending.PRUNED]
    assert {one.trial for one in found.audited} == {trial.number for trial in pruned}
    assert found.pruned == len(pruned)
    for one in found.audited:
        record = trials[one.trial].record
        assert one.pruned_at == len(record.curve) < config.epochs
        assert one.failed_audition is (not record.curve)
        assert one.value <= min(record.column("value"), default=math.inf) * (1 + 1e-6)
    better = [one.trial for one in found.audited if one.value < study.best_value]
    assert [one.trial for one in found.better] == better
    assert found.share_better == (len(better) / len(pruned),) * 2
    twice = [trials[t.completes] for t in trials if t.completes is not None]
    saved = sum(config.epochs - one.pruned_at for one in found.audited)
    auditions = sum(trial.audition is not None for trial in trials) * config.audition_epochs
    assert found.epochs_saved == saved - sum(trial.epochs for trial in twice) - auditions
    failed = [one for one in found.audited if one.failed_audition]
    won = sum(one in found.better for one in failed)
    told = f"of {len(failed)} that had failed their audition, {won} would have beaten it"
    assert (found.sentences[1].startswith(told)) is bool(failed)
    table = pd.read_csv(folder / "audit.csv")
    assert list(table["trial"]) == [one.trial for one in found.audited]
    assert table["would_have_won"].sum() == len(better)
    assert summarise(study, config, folder).audit == found
    (folder / "audit.csv").write_text(table[:-1].to_csv(index=False), encoding="utf-8")
    assert summarise(study, config, folder).audit is None  # of other trials than these


def test_a_sample_says_how_little_it_shows(confirmed: Any) -> None:
    study, config, folder = confirmed
    found = run_audit(folder, config, study, 4, Listener())
    assert len(found.audited) == 4
    low, high = found.share_better
    if not found.better:
        assert low == 0.0
        assert high == pytest.approx(1 - 0.025**0.25)  # Clopper and Pearson, none of four
    assert "95 % interval" in found.sentences[0]


def test_what_an_audit_found_in_words(confirmed: Any) -> None:
    study, config, folder = confirmed
    found = run_audit(folder, config, study, 3, Listener())
    better = replace(found, best_value=1e9)
    assert len(better.better) == 3
    assert better.regret == pytest.approx(1 - found.audited[0].value / 1e9)
    low, high = better.share_better
    assert high == 1.0 and low == pytest.approx(0.025 ** (1 / 3))
    assert "3 would have beaten the best of the search" in better.sentences[0]
    assert np.isfinite(better.to_dict()["regret"])


def test_what_cannot_be_audited(confirmed: Any, tmp_path: Path) -> None:
    study, config, folder = confirmed
    other = load_study(None, SETTINGS | {"seed": 1})
    with pytest.raises(StudyChangedError, match="not the rows that the study was trained on"):
        run_audit(folder, other, study, 3, Listener())
    unpruned, config, folder, _ = sweep(tmp_path, pruner__name="none", trials=2)
    with pytest.raises(InputError) as raised:
        run_audit(folder, config, unpruned, 3, Listener())
    assert str(raised.value) == ("study 'small': no trial was pruned, so there is nothing to audit")


def test_near_copies_do_not_crowd_others_out(tmp_path: Path) -> None:
    _, _, folder, _ = sweep(
        tmp_path,
        sampler__name="grid",
        sampler__points=4,
        pruner__name="none",
        trials=200,
        space__scheduler=["cosine", "linear", "step"],
        space__lr="0.02:0.1:log",
        confirm__top=5,
    )
    confirmation, *_ = read(folder)
    names = [candidate.schedule.scheduler for candidate in confirmation.candidates]
    assert len(names) == 5
    assert max(names.count(name) for name in names) == 2
    schedules = [candidate.schedule for candidate in confirmation.candidates]
    assert all(schedules.count(schedule) == 1 for schedule in schedules)
    assert confirmation.constant is None


def test_a_baseline_that_never_completed_is_confirmed_all_the_same(tmp_path: Path) -> None:
    """The pruner of these settings stops every constant rate, and they win on fresh seeds."""
    changes: dict[str, Any] = {
        "space__scheduler": ["constant", "linear"],
        "space__decay": 1e-3,
        "space__lr": "0.02:0.03",
        "epochs": 8,
        "trials": 16,
        "pruner__name": "none",
        "confirm__enabled": False,
    }
    study, config, folder, _ = sweep(tmp_path, **changes)
    other = optuna.create_study()
    for trial in study.get_trials():
        if trial.params["scheduler"] == "constant":
            trial.state, trial.values = optuna.trial.TrialState.PRUNED, None
            for epoch in range(3, 9):
                del trial.intermediate_values[epoch]
        other.add_trial(trial)
    taken = [trial for trial in chosen(_context(other, config, folder), 20)]
    constant = [trial for trial in taken if trial.scheduler == "constant"]
    assert len(constant) == 1
    last = {t.number: t.intermediate_values[2] for t in other.get_trials() if not t.values}
    assert constant[0].number == min(last, key=lambda number: last[number])


def test_a_winner_that_the_search_stopped_is_said_to_be_one(tmp_path: Path) -> None:
    study, config, folder, _ = sweep(tmp_path, confirm__enabled=False)
    trials = StudyReader(study, config).trials
    pruned = next(t for t in standing(trials, config.measure) if t.ending == Ending.PRUNED)
    schedule = pruned.schedule
    values = {pruned.number: (1.0, 2.0), study.best_trial.number: (2.0, 2.5)}
    suggestions = {number: trials[number].suggestion for number in values}
    confirmation = Confirmation(ranked(suggestions, values, MSE), (5, 6), metric=MSE)
    write_best(_context(study, config, folder), pruned, confirmation, None)
    described = json.loads((folder / BEST_SCHEDULE).read_text())
    assert described["schedule"] == schedule.to_dict()
    assert (described["val_mse"], described["val_r2"], described["best_epoch"]) == (None,) * 3
    assert "# Mean validation MSE 1.5 over 2 fresh seeds" in (folder / BEST_CODE).read_text()
    summary = summarise(study, config, folder)
    assert summary.best is not None and summary.best.number == pruned.number
    epochs = pruned.epochs
    assert summary.luck == f"the search had stopped it after {epochs} of 6 epochs"


def test_runs_of_another_study_are_not_taken_for_ones_own(ran: Ran, tmp_path: Path) -> None:
    theirs = ran[2]
    lower = {"space__lr": "1e-3:3e-3:log"}
    _, _, ours, _ = sweep(tmp_path / "ours", **lower)
    before = pd.read_csv(theirs / "confirm.csv").set_index("key")["val_mse"]
    shutil.copy(theirs / "confirm.csv", ours / "confirm.csv")
    _, _, _, heard = sweep(tmp_path / "ours", **lower)
    after = pd.read_csv(ours / "confirm.csv").set_index("key")["val_mse"]
    assert heard.retrained > 0
    assert not set(before.index) & set(after.index)


def test_a_run_that_failed_is_tried_again_and_one_that_diverged_is_not(
    ran: Ran, tmp_path: Path
) -> None:
    folder = copied(ran[2], tmp_path)
    whole = read(folder)[0]
    rows = pd.read_csv(folder / "confirm.csv")
    rows["reason"] = rows["reason"].astype(object)
    rows.loc[0, "val_mse"] = np.nan
    rows.loc[0, "reason"] = "its worker was killed by SIGKILL, 2 times"
    rows.to_csv(folder / "confirm.csv", index=False)
    _, _, _, heard = sweep(tmp_path)
    assert heard.retrained == 6
    assert read(folder)[0] == whole
    rows.loc[0, "reason"] = "diverged at epoch 2: validation MSE is nan"
    rows.to_csv(folder / "confirm.csv", index=False)
    sweep(tmp_path)
    broken = next(c for c in read(folder)[0].candidates if c.trial == rows.loc[0, "trial"])
    assert not np.isfinite(broken.interval.mean)


def test_trials_that_differ_in_momentum_alone_are_different_candidates(tmp_path: Path) -> None:
    _, _, folder, _ = sweep(
        tmp_path,
        space__scheduler=["cosine"],
        space__lr=0.05,
        space__decay=0.01,
        space__warmup=0.0,
        space__momentum="0:0.95",
        pruner__name="none",
        trials=60,
    )
    confirmation, runs, _ = read(folder)
    assert len(confirmation.candidates) > 1
    assert runs.groupby("trial")["momentum"].nunique().eq(1).all()
    assert runs["momentum"].nunique() == len(confirmation.candidates)


def test_a_study_of_constant_rates_alone_confirms_several(tmp_path: Path) -> None:
    _, _, folder, _ = sweep(tmp_path, space__scheduler=["constant"], pruner__name="none", trials=60)
    assert len(read(folder)[0].candidates) > 2


def test_an_interrupted_audit_leaves_the_last_one(confirmed: Any) -> None:
    study, config, folder = confirmed
    run_audit(folder, config, study, 3, Listener())
    before = (folder / "audit.csv").read_text()
    stop = threading.Event()
    stop.set()
    running = _context(study, config, folder)
    with ProcessPool(WorkerSetup.of(config, running.data, ()), 1) as pool:
        assert audit(running, pool, 5, stop, lambda what, epochs, most: None) is None
    assert (folder / "audit.csv").read_text() == before


def _context(study: optuna.Study, config: StudyConfig, folder: Path) -> RunContext:
    data = load_dataset(config.data, config.seed)
    location, reader = Location("small", None, folder), StudyReader(study, config)
    return RunContext(location, config, data, reader, lambda text: None)


class _Still:
    """A clock that does not go on."""

    def __call__(self) -> float:
        return 0.0


@pytest.mark.parametrize(("secs", "candidates", "seeds"), [(37.0, 2, 3), (25.0, 2, 2)])
def test_a_confirmation_is_shortened_to_the_time_there_is(
    confirmed: Any, tmp_path: Path, secs: float, candidates: int, seeds: int
) -> None:
    study, config, _ = confirmed
    running = _context(study, config, tmp_path)
    with ProcessPool(WorkerSetup.of(config, running.data, ()), 1) as pool:
        outcome = confirm(running, pool, threading.Event(), _heard, _limit(secs))
    found = outcome.confirmation
    assert found is not None and len(found.candidates) == candidates
    assert min(len(candidate.values) for candidate in found.candidates) >= seeds
    assert outcome.missing.startswith("the time limit shortened the confirmation to ")
    assert outcome.missing.endswith("without it, there are up to 12 of 4")


def test_there_may_be_no_time_to_confirm_anything(confirmed: Any, tmp_path: Path) -> None:
    study, config, folder = confirmed
    running = _context(study, config, tmp_path)
    with ProcessPool(WorkerSetup.of(config, running.data, ()), 1) as pool:
        outcome = confirm(running, pool, threading.Event(), _heard, _limit(20.0))
        assert outcome.confirmation is None
        assert outcome.missing == (
            "nothing was confirmed on fresh seeds: the time limit left 20.0 s, and a training "
            "takes about 6.0 s; the same command with a longer --timeout, or without one, does it"
        )
        best = completed(StudyReader(study, config).trials, config.measure)[0]
        write_best(running, best, None, None, outcome.missing)
        assert outcome.missing in summarise(study, config, tmp_path).cautions
        there = _context(study, config, folder)  # what has been trained already takes no time
        again = confirm(there, pool, threading.Event(), _heard, _limit(0.0))
    assert again.confirmation == read(folder)[0]


def _heard(what: str, epochs: int, most: int) -> None:
    """Nobody looks."""


def _limit(secs: float) -> TimeLimit:
    """So much is left, always, where an epoch takes a second."""
    limit = TimeLimit(secs, _Still())
    limit.heard([EpochResult(0, 1, 1.0, 1.0, 1.0, 0.1, 0.1, 1.0, 1.0)])
    return limit
