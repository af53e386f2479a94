"""A budget of whole trainings: what it comes to, and that it is never more."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from made_studies import CONFIG, PRUNED, add, new_study, params
from small_runs import Notes, sweep
from support import no_page

from sweep.base.errors import InterruptedSweep, StudyFileError
from sweep.confirm.best_schedule import BestSchedule
from sweep.confirm.fresh_seeds import no_budget
from sweep.report.summary import summarise
from sweep.search.attributes import COMPLETES
from sweep.search.budget import (
    Account,
    ConfirmationCost,
    Spent,
    confirmation_epochs,
    counted_trainings,
    enough_to_confirm,
    prospect,
    trainings,
)
from sweep.search.context import RunContext
from sweep.search.status import Status
from sweep.search.trials import StudyReader, Trial
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.settings import StudyConfig

EPOCHS = 8
"""Of a whole training: an audition takes one."""

BATCH = 12
"""Rows of a step: an epoch has enough steps for an audition."""


@pytest.fixture(autouse=True)
def _few_steps_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that trainings may be short."""
    for module in ("strategies.without_auditions", "coordinator"):
        monkeypatch.setattr(f"sweep.search.{module}.FEWEST_STEPS", 24)


def run(folder: Path, listener: Notes | None = None, **settings: Any) -> Spent:
    """Run a study with a budget; what it has cost, which its tables must agree with."""
    given = {"trials": None, "epochs": EPOCHS, "optimizer__batch_size": BATCH, **settings}
    given = {"confirm__enabled": True, **given}
    with no_page():
        study, config, location = sweep(folder, listener, **given)
    spent = Spent.by(StudyReader(study, config))
    epochs = pd.read_csv(location.folder / "epochs.csv")
    path = location.folder / "confirm.csv"
    confirmed = pd.read_csv(path)["epochs_run"].sum() if path.is_file() else 0
    assert len(epochs) <= spent.total - spent.confirmation
    assert confirmed <= spent.confirmation
    assert config.budget is not None
    assert spent.total <= config.budget * config.epochs
    return spent


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 1.5, 2, 3, 5, 8.2, 20, 33])
def test_a_study_never_costs_more_than_its_budget(budget: float, tmp_path: Path) -> None:
    spent = run(tmp_path, budget=budget)
    assert spent.completed >= EPOCHS
    # what is left was too little for one more, or for a confirmation of all candidates
    assert spent.total > budget * EPOCHS - (2 if budget < 18 else 4) * EPOCHS


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"pruner__name": "none"},
        {"pruner__name": "halving"},
        {"pruner__name": "median"},
        {"sampler__name": "grid", "sampler__points": 2},
        {"sampler__name": "random", "workers": 1},
        {"fair": True, "space__scheduler": ["step", "cosine"]},
        {"space__lr": "1e-2:1e3:log"},  # most of it diverges
        {"baseline": "step, lr=0.01"},
        {"epochs": 5},
        {"optimizer__batch_size": 64},  # too few steps for auditions
        {"model__name": "mlp", "engine": "sequential", "pruner__name": "auto"},
        {"deterministic": True},
    ],
    ids=lambda settings: " ".join(settings),
)
def test_so_it_is_whatever_is_searched(settings: dict[str, Any], tmp_path: Path) -> None:
    run(tmp_path, **{"budget": 21, **settings})


@pytest.mark.slow
def test_so_it_is_in_a_storage_that_others_share(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    spent = run(tmp_path, budget=6, storage=url)
    (tmp_path / "beside").mkdir()
    notes = Notes()
    assert run(tmp_path / "beside", notes, budget=6, storage=url) == spent
    assert any("no trial is trained" in note for note in notes.notes)


class StopsAfter(Notes):
    """Interrupts the run once some trials have ended, or some trainings on fresh seeds begun."""

    def __init__(self, trials: int, confirming: bool = False) -> None:
        super().__init__()
        self._left = trials
        self._confirming = confirming

    def on_finished(self, trial: Trial, status: Status) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGINT)

    def on_retraining(self, what: str, epochs: int, most: int) -> None:
        if self._confirming and epochs >= EPOCHS and what.startswith("confirming"):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [StopsAfter(2), StopsAfter(9), StopsAfter(0, confirming=True)])
def test_an_interrupted_study_costs_no_more(stop: StopsAfter, tmp_path: Path) -> None:
    with pytest.raises(InterruptedSweep):
        run(tmp_path, stop, budget=20)
    spent = run(tmp_path, budget=20)
    assert spent.confirmation >= 4 * EPOCHS - EPOCHS  # a run may diverge, but none is lost


@pytest.mark.slow
def test_a_larger_budget_goes_on_and_no_other(tmp_path: Path) -> None:
    before = run(tmp_path, budget=4)
    for budget in (4, 2):
        notes = Notes()
        with no_page():
            study, config, _ = sweep(
                tmp_path,
                notes,
                trials=None,
                epochs=EPOCHS,
                optimizer__batch_size=BATCH,
                budget=budget,
                confirm__enabled=True,
            )
        assert Spent.by(StudyReader(study, config)) == before
        told = next(note for note in notes.notes if "no trial is trained" in note)
        assert f"of {budget} whole trainings" in told and "a larger budget, such as" in told
    after = run(tmp_path, budget=8)
    assert after.total > before.total and after.completed > before.completed


@pytest.mark.slow
def test_the_same_command_confirms_the_same(tmp_path: Path) -> None:
    run(tmp_path, budget=24)
    before = (tmp_path / "small" / "confirm.csv").read_text()
    spent = run(tmp_path, budget=24)
    assert (tmp_path / "small" / "confirm.csv").read_text() == before
    frame = pd.read_csv(tmp_path / "small" / "confirm.csv")
    assert frame["epochs_run"].sum() == spent.confirmation > 0


def test_how_little_is_known_counts_each_schedule_once(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"budget": 3.0})
    study = new_study()
    add(study, params("cosine", 0.1), [9, 8, 7, 6])
    add(study, params("step", 0.1, drops=2), [9, 8], PRUNED)
    study.enqueue_trial(params("step", 0.1, drops=2), user_attrs={COMPLETES: 1})
    add(study, params("step", 0.1, drops=2), [9, 8, 7, 6])
    location = Location("shop", None, tmp_path)
    context = RunContext(location, config, None, StudyReader(study, config), print)
    told = no_budget(context, spent_elsewhere=False)
    assert told.endswith(
        "from one seed, 2 of 2 to the end, so how much of a lead is luck is not known"
    )


@pytest.mark.slow
def test_a_small_budget_says_how_little_is_known(tmp_path: Path) -> None:
    notes = Notes()
    run(tmp_path, notes, budget=4)
    written = BestSchedule.read(tmp_path / "small")
    assert written is not None and written.confirmation is None
    assert "a budget of 4 whole trainings" in written.not_confirmed
    assert "(18 would do)" in written.not_confirmed
    assert "from one seed" in written.not_confirmed
    assert written.not_confirmed in notes.notes


@pytest.mark.slow
def test_a_trial_that_there_is_no_budget_for_is_stopped_with_its_audition(tmp_path: Path) -> None:
    """Two of eight pass it, and only one can go on."""
    run(tmp_path, budget=2, workers=1)
    results = pd.read_csv(tmp_path / "small" / "results.csv")
    spent = results[results["reason"] == "the budget is spent"]
    assert len(spent) and (spent["epochs_run"] == 0).all()
    assert (results["epochs_run"] == EPOCHS).sum() == 1


FAILS = """
import torch

class Fails(torch.nn.Linear):
    \"\"\"Cannot be trained again once a trial has been.\"\"\"

    def __init__(self, features):
        super().__init__(features, 1)

    def forward(self, x):
        if self.training and len(list(PLACE.glob("[0-9]*"))) >= 40:
            raise RuntimeError("out of luck")
        (PLACE / str(len(list(PLACE.glob("[0-9]*"))))).touch()
        return super().forward(x)
"""


@pytest.mark.slow
def test_trials_that_cost_nothing_come_to_an_end(tmp_path: Path) -> None:
    """One that raises in its first epoch leaves the budget as it was."""
    place = f"from pathlib import Path\nPLACE = Path({str(tmp_path)!r})\n"
    (tmp_path / "fails.py").write_text(place + FAILS)
    spent = run(
        tmp_path,
        budget=4,
        epochs=4,
        optimizer__batch_size=64,
        workers=1,
        model__name="fails:Fails",
        engine="sequential",
    )
    results = pd.read_csv(tmp_path / "small" / "results.csv")
    assert (results["state"] == "FAIL").sum() > 4
    assert len(results) <= 4 * 4 and spent.total < 4 * 4


@pytest.mark.slow
def test_the_report_says_what_it_was_spent_on(tmp_path: Path) -> None:
    with no_page():
        study, config, location = sweep(
            tmp_path,
            trials=None,
            epochs=EPOCHS,
            optimizer__batch_size=BATCH,
            budget=20,
            confirm__enabled=True,
        )
    summary = summarise(study, config, location.folder)
    spent = summary.account.spent
    assert min(spent.auditions, spent.stopped, spent.completed, spent.confirmation) > 0
    assert summary.to_dict()["account"]["spent"] == vars(spent)
    assert summary.account.sentence.startswith(f"{trainings(spent.total / EPOCHS)} of 20 whole")
    assert summary.counts.asked == summary.counts.endings.ended


def test_account() -> None:
    spent = Spent(auditions=15, stopped=30, completed=60, confirmation=0)
    assert spent + spent - spent == spent
    assert Account(spent, 30, 4).sentence == (
        "3.5 of 4 whole trainings: 0.5 on auditions, 1 on trials that were stopped early, 2 on "
        "trials that completed"
    )
    assert Account(Spent(), 30, None).sentence == "0 whole trainings"
    assert counted_trainings(1) == "1 whole training"
    assert counted_trainings(1234.56) == "1,234.6 whole trainings"


def test_what_one_confirmation_promises_is_not_there_for_another() -> None:
    study = optuna.create_study()
    ours, theirs = (ConfirmationCost(study, owner) for owner in ("here:/a", "there:/a"))
    ours.promise(60)
    assert (theirs.promised_elsewhere, ours.promised_elsewhere) == (60, 0)
    ours.add(20, promised=30)  # it diverged
    assert (theirs.promised_elsewhere, theirs.elsewhere) == (30, 50)
    assert confirmation_epochs(study) == 20
    theirs.add(30, promised=30)
    assert confirmation_epochs(study) == 50
    again = ConfirmationCost(study, "here:/a")  # whatever it had in training is lost
    assert (theirs.promised_elsewhere, theirs.elsewhere, again.elsewhere) == (0, 20, 30)


class TestPlan:
    def test_trials_follow_from_the_budget(self) -> None:
        config = StudyConfig.model_validate({"budget": 30, "epochs": 30})
        assert config.confirm_trainings == 6
        assert config.trials == round(24 / config.usual_share)  # type: ignore[operator]
        assert StudyConfig.model_validate({"budget": 9, "pruner": "none"}).trials == 9

    @pytest.mark.parametrize(
        ("budget", "settings", "trainings"),
        [
            (17, {}, 0),
            (18, {}, 4),
            (40, {}, 8),
            (40, {"confirm": False}, 0),
            (40, {"confirm": {"share": 0.5}}, 20),
            (25, {"baseline": "step, lr=0.1"}, 0),  # it has two seeds, too
            (30, {"baseline": "step, lr=0.1"}, 6),
            (67, {"fair": True}, 0),  # each of 7 schedulers has two
            (68, {"fair": True}, 14),
            (28, {"fair": True, "space": {"scheduler": ["step", "linear", "cosine"]}}, 6),
        ],
    )
    def test_part_of_the_confirmation(
        self, budget: float, settings: dict[str, Any], trainings: int
    ) -> None:
        config = StudyConfig.model_validate({"budget": budget, **settings})
        assert config.confirm_trainings == trainings

    def test_one_training_has_no_audition(self) -> None:
        assert StudyConfig.model_validate({"budget": 1}).audition_epochs == 0
        assert StudyConfig.model_validate({"budget": 2}).audition_epochs == 3

    def test_prospect(self) -> None:
        assert prospect(StudyConfig()) == ""
        assert prospect(StudyConfig.model_validate({"budget": 30})).endswith(
            "and 6 whole trainings to confirm the best on fresh seeds"
        )
        told = prospect(StudyConfig.model_validate({"budget": 4}))
        assert told.endswith("too small to confirm the best on fresh seeds (18 would do)")

    @pytest.mark.parametrize("settings", [{}, {"fair": True}, {"confirm": {"share": 0.3}}])
    def test_the_budget_that_would_do_is_the_smallest(self, settings: dict[str, Any]) -> None:
        enough = enough_to_confirm(StudyConfig.model_validate({"budget": 7, **settings}))
        for budget, confirms in ((enough - 1, False), (enough, True)):
            config = StudyConfig.model_validate({"budget": budget, **settings})
            assert (config.confirm_trainings > 0) == confirms

    def test_trials_or_budget(self, tmp_path: Path) -> None:
        file = tmp_path / "a.toml"
        file.write_text("trials = 7\n")
        config = load_study(file, {"budget": 9})
        assert config.budget == 9 and "trials" not in config.model_fields_set
        again = tmp_path / "again.toml"
        again.write_text(config.to_toml())
        assert load_study(again).budget == 9
        assert load_study(again).trials == config.trials
        config = load_study(again, {"trials": 7})
        assert (config.budget, config.trials) == (None, 7)
        file.write_text("trials = 7\nbudget = 9\n")
        with pytest.raises(StudyFileError, match=r"budget = 9\.0: give trials or budget, not both"):
            load_study(file)
        with pytest.raises(StudyFileError, match=r"--budget 9\.0: give trials or budget, not both"):
            flags = {"trials": "--trials", "budget": "--budget"}
            load_study(None, {"budget": 9, "trials": 7}, flags)

    def test_a_fair_study_needs_enough(self) -> None:
        settings = {"fair": True, "budget": 2}
        with pytest.raises(StudyFileError, match=r"budget = .*fair needs one for each of 7"):
            load_study(None, settings)
