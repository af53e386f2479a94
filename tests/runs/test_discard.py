"""`sweep discard` and `sweep report --without`: what follows, what is refused, how it is undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_studies as made
import optuna
import pandas as pd
import pytest
from called import called
from made_studies import CONFIG, PRUNED, params
from sklearn.datasets import load_diabetes
from small_runs import sweep as small_sweep
from support import PostgreSQL, no_page

from sweep.base.errors import InputError, StudyBusyError
from sweep.confirm.best_files import doubt_about
from sweep.report.dashboard.notes_and_figures import show
from sweep.report.findings import gather
from sweep.report.summary import Summary, summarise
from sweep.runs.discard import discard, without
from sweep.runs.library import load_study
from sweep.runs.predictor import load_predictor
from sweep.runs.warm_start import best_of_other
from sweep.search.attributes import COMPLETES
from sweep.search.storage.locks import hold
from sweep.search.storage.opening import closing_study, open_study
from sweep.search.storage.optuna_private import study_attributes, trial_ids
from sweep.study.locations import Location

BOGUS = 1


@pytest.fixture(autouse=True)
def _draw_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all else."""
    monkeypatch.setattr("sweep.runs.discard.write_report", lambda *_: None)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The results of a study in a journal: one trial of five is bogus, and one is in training."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "study.toml").write_text(CONFIG.to_toml())
    sampler = optuna.samplers.RandomSampler(seed=0)
    url = str(folder / "study.journal")
    study = open_study("mine", url, sampler, optuna.pruners.NopPruner())
    made.add(study, params("constant", 0.1), [30, 20, 18, 16])
    made.add(study, params("cosine", 0.2), [0, 0, 0, 0])
    made.add(study, params("step", 0.1), [30, 25, 21, 14])
    made.add(study, params("step", 0.3), [60], PRUNED, "pruned at epoch 1 by auto")
    study.ask()
    yield folder


def candidate(trial: int, scheduler: str, value: float) -> dict[str, Any]:
    interval = {"mean": value, "low": value - 1, "high": value + 1, "count": 3}
    return {
        "trial": trial,
        "schedule": {"scheduler": scheduler, "lr": 0.1, "decay": 1.0, "warmup": 0.0, "params": {}},
        "val_mse": [value, value + 0.5, value - 0.5],
        "mean": interval,
        "mean_rank": 1.0,
        "dropped_out": False,
        "lead_of_winner": None,
    }


def confirm(folder: Path, *candidates: tuple[int, str, float], confirmed: bool = True) -> None:
    """Write a confirmation of these trials, the first one its winner; or a winner alone."""
    found = [candidate(*about) for about in candidates]
    sentences = ("verdict", "against_constant", "against_runner_up")
    described: dict[str, Any] = {
        "schedule": found[0]["schedule"],
        "trial": candidates[0][0],
        "best_constant_val_mse": None,
        "best_of_search": BOGUS,
        "confirmation": {
            "seeds": [1, 2, 3],
            "raced": True,
            **dict.fromkeys(sentences, ""),
            "candidates": found,
        },
    }
    if not confirmed:
        described["confirmation"] = None
    (folder / "best_schedule.json").write_text(json.dumps(described))


def summary(folder: Path, *left_out: int) -> Summary:
    ran = without(load_study(folder), left_out)
    return summarise(ran.study, ran.config, ran.folder)


def test_it_is_no_longer_the_best_and_all_is_undone(folder: Path) -> None:
    before = summary(folder)
    assert before.best is not None and before.best.number == BOGUS
    assert discard(folder, [BOGUS]) == []
    found = summary(folder)
    assert found.best is not None and found.best.number == 2
    assert [facts.number for facts in found.top] == [2, 0]
    assert "cosine" not in [row.name for row in found.schedulers if row.trials]
    assert found.counts.endings.completed == 2
    assert (found.epochs_trained, found.account) == (before.epochs_trained, before.account)
    assert found.excluded.discarded == (BOGUS,)
    assert any("trial 1 is discarded" in caution for caution in found.cautions)
    assert discard(folder, [BOGUS], undo=True) == []
    assert summary(folder).to_dict() == before.to_dict()


def test_figures_are_without_it(folder: Path) -> None:
    discard(folder, [BOGUS])
    ran = load_study(folder)
    findings = gather(ran.study, ran.config, ran.folder)
    assert [trial.number for trial in findings.trials] == [0, 2, 3]
    assert len(findings.in_memory.trials) == 4  # one is in training


def test_the_tables_have_it_marked(folder: Path) -> None:
    discard(folder, [BOGUS, 3])
    frame = pd.read_csv(folder / "results.csv")
    assert list(frame["number"][frame["discarded"]]) == [BOGUS, 3]
    assert list(frame["number"]) == [0, 1, 2, 3]
    assert list(load_study(folder).results["discarded"]) == [False, True, False, True]
    assert load_study(folder).best.scheduler == "step"


def test_optunas_own_dashboard_has_it_marked(folder: Path) -> None:
    def note(trial: int) -> str:
        ran = load_study(folder)
        show(gather(ran.study, ran.config, ran.folder), {})
        attributes = study_attributes(load_study(folder).study)
        return str(attributes[f"dashboard:{trial_ids(ran.study)[trial]}:note_str:0"])

    winner = note(BOGUS)
    assert winner.startswith("# cosine")
    discard(folder, [BOGUS])
    assert note(BOGUS).startswith("Discarded: it counts for nothing.")
    assert note(2).startswith("# step")
    discard(folder, [BOGUS], undo=True)
    assert note(BOGUS) == winner


def test_twice_is_told_and_does_nothing(folder: Path) -> None:
    discard(folder, [BOGUS])
    assert discard(folder, [BOGUS, 2]) == [BOGUS]
    assert discard(folder, [0, BOGUS], undo=True) == [0]
    assert summary(folder).excluded.discarded == (2,)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([0, 5, 7, 8, 9], "no trial 5, 7-9; its trials are 0-4"),
        ([0, 4], "trial 4 has not ended"),
    ],
)
@pytest.mark.parametrize("act", [discard, lambda f, n: without(load_study(f), n)])
def test_what_cannot_be_discarded_or_left_out(
    folder: Path, act: Callable[..., Any], numbers: list[int], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        act(folder, numbers)
    assert summary(folder).excluded.numbers == ()


def train_to_its_end(folder: Path, pruned: int) -> int:
    """A trial that stands for a pruned one."""
    ran = load_study(folder)
    ran.study.enqueue_trial(dict(params("step", 0.3)), user_attrs={COMPLETES: pruned})
    trial = ran.study.ask()
    CONFIG.search_space.suggest(trial)
    ran.study.tell(trial, 11.0)
    return trial.number


def test_one_that_another_stands_for(folder: Path) -> None:
    assert train_to_its_end(folder, 3) == 5
    with pytest.raises(InputError, match=r"trial 3 was pruned, .*; discard 5, or both"):
        discard(folder, [3])
    discard(folder, [5])
    assert summary(folder).counts.endings.pruned == 1  # it stands for itself again
    discard(folder, [3])
    assert summary(folder).counts.endings.pruned == 0
    with pytest.raises(InputError, match=r"trial 5 stands for trial 3, .*; undo 3, too"):
        discard(folder, [5], undo=True)
    assert summary(folder).excluded.discarded == (3, 5)
    assert discard(folder, [3, 5], undo=True) == []


def test_all_that_others_stand_for_are_named(folder: Path) -> None:
    ran = load_study(folder)
    made.add(ran.study, params("step", 0.4), [60], PRUNED, "pruned at epoch 1 by auto")
    others = train_to_its_end(folder, 5), train_to_its_end(folder, 3)
    assert others == (6, 7)
    stand = r"trials 3, 5 were pruned, and trials 6, 7, which train them to their end, stand for"
    with pytest.raises(InputError, match=rf"{stand} them; discard 6, 7, or all of them"):
        discard(folder, [1, 3, 5])
    with pytest.raises(InputError, match=rf"{stand} them; leave out 6, 7, or all of them"):
        without(load_study(folder), [1, 3, 5])
    discard(folder, [3, 5, 6, 7])
    with pytest.raises(InputError, match=r"trials 6, 7 stand for trials 3, 5, .*; undo 3, 5, too"):
        discard(folder, [6, 7], undo=True)


def test_undoing_is_not_refused_for_what_was_not_discarded(folder: Path) -> None:
    train_to_its_end(folder, 3)
    discard(folder, [BOGUS, 2])
    assert discard(folder, [BOGUS, 2, 3, 4], undo=True) == [3, 4]
    assert summary(folder).excluded.discarded == ()


def test_not_while_the_study_is_run(folder: Path) -> None:
    with hold(folder, str(folder / "study.journal")):
        with pytest.raises(StudyBusyError, match="run by another process"):
            discard(folder, [BOGUS])
    assert summary(folder).excluded.numbers == ()


def test_without_is_for_one_report(folder: Path) -> None:
    found = summary(folder, BOGUS)
    assert found.best is not None and found.best.number == 2
    assert found.excluded.left_out == (BOGUS,) and not found.excluded.discarded
    assert any("trial 1 is left out of this report alone" in text for text in found.cautions)
    assert summary(folder).best != found.best


class TestTheWinnersFiles:
    def test_of_a_discarded_winner_are_told(self, folder: Path) -> None:
        confirm(folder, (BOGUS, "cosine", 13), (2, "step", 14), (0, "constant", 16))
        assert summary(folder).confirmation is not None
        discard(folder, [BOGUS])
        found = summary(folder)
        assert found.confirmation is None
        text = next(text for text in found.cautions if "winner's files" in text)
        assert "trial 1, which is discarded" in text and f"sweep run {folder}" in text
        assert json.loads((folder / "best_schedule.json").read_text())["discarded"] is True
        assert (folder / "best_schedule.py").read_text().startswith("# Mind: trial 1")
        assert f"sweep run {folder}" in doubt_about(folder)
        exported = called("export", folder, cwd=folder)
        assert "has been discarded" in exported.stderr and "# Mind: trial 1" in exported.stdout
        assert load_study(folder).best.scheduler == "step"
        discard(folder, [BOGUS], undo=True)
        assert summary(folder).confirmation is not None
        assert doubt_about(folder) == "" and not called("export", folder, cwd=folder).stderr

    def test_without_a_candidate_the_others_stay(self, folder: Path) -> None:
        confirm(folder, (2, "step", 13), (BOGUS, "cosine", 14), (0, "constant", 16))
        discard(folder, [BOGUS])
        found = summary(folder)
        assert found.confirmation is not None
        assert [c.trial for c in found.confirmation.candidates] == [2, 0]
        assert found.best is not None and found.best.number == 2
        assert doubt_about(folder) == ""
        text = next(text for text in found.cautions if "a candidate" in text)
        assert "trial 1 was a candidate" in text and f"sweep run {folder}" in text

    def test_of_a_search_alone_are_simply_replaced(self, folder: Path) -> None:
        confirm(folder, (BOGUS, "cosine", 13), confirmed=False)
        of_trial = "the winner's files are of trial 1, which is"
        for text in (*summary(folder, BOGUS).cautions, *summary(folder, 2).cautions):
            assert "confirm" not in text
        assert any(f"{of_trial} left out here" in t for t in summary(folder, BOGUS).cautions)
        told = called("discard", folder, str(BOGUS), cwd=folder).stdout
        assert "running the study again replaces them" in told and "confirm" not in told
        text = next(text for text in summary(folder).cautions if "winner's files" in text)
        assert text == (
            f"{of_trial} discarded. Running the study again replaces them: sweep run {folder}"
        )

    def test_a_better_trial_since_has_no_confirmation(self, folder: Path) -> None:
        confirm(folder, (BOGUS, "cosine", 13), (0, "constant", 16))
        discard(folder, [BOGUS])
        assert summary(folder).confirmation is None  # trial 2 is better than what was confirmed


def test_a_warm_start_is_without_it(folder: Path, tmp_path: Path) -> None:
    discard(folder, [BOGUS])
    changed = CONFIG.model_copy(update={"warm_start": str(folder)})
    carried = best_of_other(Location("next", None, tmp_path / "next"), changed)
    assert [trial.trial for trial in carried.trials] == [2, 0]


def test_the_commands(folder: Path) -> None:
    done = called("discard", folder, str(BOGUS), "2-3", cwd=folder)
    assert done.returncode == 0 and "trials 1-3: discarded" in done.stdout
    again = called("discard", folder, "3", cwd=folder)
    assert again.returncode == 0 and "trial 3: discarded already" in again.stdout
    undone = called("discard", folder, "0", "2", "3", "--undo", cwd=folder)
    assert "trials 2, 3: no longer discarded" in undone.stdout
    assert "trial 0: not discarded anyway" in undone.stdout
    wrong = called("discard", folder, "77", cwd=folder)
    assert wrong.returncode == 2 and "no trial 77" in wrong.stderr
    report = called("report", folder, "--without", "2", "--without", "3", cwd=folder)
    assert "trials 2, 3 are left out of this report alone" in report.stdout
    assert "trial 1 is discarded" in report.stdout
    told = json.loads(called("report", folder, "--without", "2,3", "-f", "json", cwd=folder).stdout)
    assert "excluded" not in told
    assert told["set_aside"]["left_out"] == [2, 3] and told["set_aside"]["discarded"] == [1]
    several = called("report", folder, folder, "--without", "2", cwd=folder)
    assert "--without is for one study" in several.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_the_next_run_trains_another_and_confirms_anew(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"workers": 1, "pruner__name": "none", "confirm__enabled": True}
    url = None
    if kind == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = settings["storage"] = server.new_database("discard")  # the file has no password
    with no_page():
        study, config, location = small_sweep(tmp_path, **settings)
        folder = location.folder
        with closing_study(study):
            winner = json.loads((folder / "best_schedule.json").read_text())["trial"]
        assert discard(folder, [winner], url) == []
        doubt = doubt_about(folder)
        assert doubt
        predicted = load_predictor(folder).predict(load_diabetes(as_frame=True).frame)
        assert doubt in predicted.attrs["notes"]
        study, config, location = small_sweep(tmp_path, **settings)
    with closing_study(study):
        found = summarise(study, config, folder)
    assert found.excluded.discarded == (winner,)
    assert found.counts.endings.ended == 4 and winner not in [t.number for t in found.top]
    written = json.loads((folder / "best_schedule.json").read_text())
    confirmed = [candidate["trial"] for candidate in written["confirmation"]["candidates"]]
    assert winner != written["trial"] and winner not in confirmed and "discarded" not in written
    assert found.confirmation is not None and not doubt_about(folder)
    frame = pd.read_csv(folder / "results.csv").set_index("number")
    assert len(frame) == 5 and list(frame.index[frame["discarded"]]) == [winner]
