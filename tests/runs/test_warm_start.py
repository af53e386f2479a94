"""The best trials of another study go first, and the report says whether their ranking held."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from called import called as sweep

from sweep.report.references.carried_over import carried_over
from sweep.report.summary import summarise
from sweep.runs.library import load_study
from sweep.runs.listener import Listener
from sweep.runs.run import run_sweep
from sweep.runs.warm_start import WarmStart, best_of_other
from sweep.search.trials import StudyReader, standing
from sweep.study.file import load_study as load_settings
from sweep.study.metric import MSE

pytestmark = pytest.mark.slow

BASE = ("run", "diabetes", "--workers", "1", "--pruner", "none")
LOOP = """
import math, torch

def train(schedule, *, epochs):
    weight = torch.nn.Parameter(torch.ones(()))
    scheduler = schedule.attach(torch.optim.SGD([weight], lr=1.0), steps_per_epoch=2)
    off = abs(math.log(schedule.lr / 0.1))
    for epoch in range(epochs):
        yield {"val_mse": off, "skill": -off, "misled": off}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of 14 trials of 3 epochs in `short`, confirmed."""
    folder = tmp_path_factory.mktemp("home")
    done = sweep(*BASE, "--trials", "14", "--epochs", "3", "--out", "short", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def there(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, and the working folder."""
    shutil.copytree(home / "short", tmp_path / "short")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path) -> StudyReader:
    found = load_study(folder)
    return StudyReader(found.study, found.config)


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return load_study(folder).study.get_trials(deepcopy=False)


def carried_from(folder: Path, **settings: Any) -> WarmStart:
    """What a study with the settings of `diabetes` would carry over."""
    from sweep.study.locations import Location

    overrides = {"warm_start": str(folder), **settings}
    config = load_settings(folder / "study.toml", overrides)
    return best_of_other(Location("long", None, Path("long")), config)


@pytest.mark.slow
class TestStudy:
    def test_best_trials_go_first_and_their_ranking_is_told(self, there: Path) -> None:
        best = load_study("short").described["trial"]
        ranked = [t.number for t in standing(read(there / "short").trials, MSE)]
        expected = [best, *(number for number in ranked if number != best)][:10]
        options = ("--trials", "13", "--epochs", "6", "--no-confirm", "--warm-start", "short")
        done = sweep(*BASE, *options, "--out", "long", cwd=there)
        assert done.returncode == 0, done.stderr
        assert "note: carried over from short (3 epochs): 10 trials" in done.stdout
        before, now = trials_of(there / "short"), trials_of(there / "long")
        assert [t.user_attrs.get("from_trial") for t in now] == [*expected, None, None, None]
        for trial in now[:10]:
            origin = before[trial.user_attrs["from_trial"]]
            assert trial.params == origin.params
            assert trial.user_attrs["from_value"] == origin.value
            assert trial.user_attrs["from_study"] == "short"
        values = pd.DataFrame([(t.user_attrs["from_value"], t.value) for t in now[:10]]).rank()
        correlation = values[0].corr(values[1])
        found = json.loads(sweep("report", "long", "--format", "json", cwd=there).stdout)
        carried = found["carried_over"]
        assert carried["correlation"] == pytest.approx(correlation)
        assert (carried["study"], carried["epochs"]) == ("short", 3)
        assert (carried["trials"], carried["compared"]) == (10, 10)
        sentence = f"10 trials of short (3 epochs); {carried['verdict']}"
        assert f"rank correlation {correlation:.2f}" in sentence
        markdown = sweep("report", "long", "--format", "md", cwd=there).stdout
        assert f"- Carried over: {sentence}\n" in markdown
        text = sweep("report", "long", cwd=there).stdout
        assert "carried over" in text and f"{correlation:.2f}" in text
        assert sentence in (there / "long/report.html").read_text()

    @pytest.mark.usefixtures("no_page")
    def test_only_a_new_study_is_given_any(self, there: Path) -> None:
        options = ("--epochs", "3", "--no-confirm", "--out", "long", "--warm-start", "short")
        sweep(*BASE, *options, "--trials", "2", cwd=there)
        shutil.rmtree(there / "short")
        done = sweep(*BASE, *options, "--trials", "4", cwd=there)
        assert done.returncode == 0, done.stderr
        marked = ["from_trial" in trial.user_attrs for trial in trials_of(there / "long")]
        assert marked == [True, True, False, False]

    @pytest.mark.usefixtures("no_page")
    def test_one_that_began_without_it_is_told(self, there: Path) -> None:
        options = ("--epochs", "3", "--no-confirm", "--out", "short", "--warm-start", "long")
        done = sweep(*BASE, *options, "--trials", "15", cwd=there)
        assert done.returncode == 0, done.stderr
        assert "this one has trials already: nothing is carried over" in done.stdout

    @pytest.mark.usefixtures("no_page")
    @pytest.mark.parametrize("sampler", ["family", "tpe"])
    def test_the_total_stays(self, there: Path, sampler: str) -> None:
        options = ("--epochs", "2", "--no-confirm", "--out", "long", "--warm-start", "short")
        done = sweep(*BASE, *options, "--trials", "15", "--sampler", sampler, cwd=there)
        assert done.returncode == 0, done.stderr
        now = trials_of(there / "long")
        assert len(now) == 15
        assert ["from_trial" in trial.user_attrs for trial in now] == [True] * 10 + [False] * 5


@pytest.mark.slow
class TestWhatIsCarriedOver:
    def test_a_confirmed_winner_goes_before_all(self, there: Path) -> None:
        path = there / "short/best_schedule.json"
        written = json.loads(path.read_text())
        third = standing(read(there / "short").trials, MSE)[2].number
        path.write_text(json.dumps({**written, "trial": third}))
        assert carried_from(there / "short").trials[0].trial == third
        path.write_text(json.dumps({**written, "trial": third, "confirmation": None}))
        assert carried_from(there / "short").trials[2].trial == third

    def test_what_lies_outside_the_space_is_left_out(self, there: Path) -> None:
        config = {"space.scheduler": ["cosine", "step", "constant"], "space.lr": "1e-2:1:log"}
        found = carried_from(there / "short", **config)
        before = trials_of(there / "short")
        ten = carried_from(there / "short").trials
        kept = [
            carried.trial
            for carried in ten
            if carried.parameters["scheduler"] in config["space.scheduler"]
            and float(carried.parameters["lr"]) >= 1e-2
        ]
        assert 0 < len(kept) < 10
        assert [carried.trial for carried in found.trials] == kept
        assert len(found.left_out) == 10 - len(kept)
        for carried in found.trials:
            assert carried.parameters == before[carried.trial].params
        assert any("is not searched here" in reason for reason in found.left_out)

    def test_fixed_settings_must_be_the_same(self, there: Path) -> None:
        searched = {"space.momentum": "0:0.95"}
        momentum = load_study("short").config.optimizer.momentum
        found = carried_from(there / "short", **searched)
        assert {carried.parameters["momentum"] for carried in found.trials} == {momentum}
        assert len(found.trials) == 10
        found = carried_from(there / "short", **{"space.momentum": "0.96:0.99"})
        assert not found.trials
        assert f"momentum {momentum:g} is not in 0.96:0.99" in found.left_out[0]

    def test_what_a_schedule_ignores_does_not_matter(self, there: Path) -> None:
        settings = {"space.scheduler": ["constant"], "space.warmup": 0.0, "space.decay": "0.5:0.6"}
        short = load_study("short")
        constant = [t for t in short.study.trials if t.params["scheduler"] == "constant"]
        for decay in (0.001, 0.01):  # the same to a constant rate
            parameters = {**constant[0].params, "warmup": 0.0, "decay": decay}
            trial = optuna.trial.create_trial(
                params=parameters,
                distributions=constant[0].distributions,
                value=0.001,
                intermediate_values=constant[0].intermediate_values,
            )
            short.study.add_trial(trial)
        found = carried_from(there / "short", **settings)
        assert [carried.trial for carried in found.trials] == [14]
        assert found.trials[0].parameters == {"lr": constant[0].params["lr"], "decay": 0.5}
        assert "trial 15, the same as trial 14" in found.left_out


@pytest.mark.slow
@pytest.mark.usefixtures("no_page", "brief_measurement")
class TestErrors:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--warm-start", "shirt"), "warm_start: shirt: no results"),
            (("--warm-start", "short", "--fair"), "every scheduler the same start"),
            (("--warm-start", "short", "--sampler", "grid"), "its own points alone"),
        ],
    )
    def test_wrong_input(self, there: Path, options: tuple[str, ...], said: str) -> None:
        done = sweep(*BASE, *options, "--out", "long", cwd=there)
        assert done.returncode == 2
        assert said in done.stderr

    def test_itself_and_nothing_is_thrown_away(self, there: Path) -> None:
        options = ("--out", "short", "--warm-start", "short", "--fresh", "--yes")
        done = sweep(*BASE, *options, cwd=there)
        assert done.returncode == 2
        assert "that is this study itself" in done.stderr
        assert len(trials_of(there / "short")) == 14

    def test_a_study_without_a_completed_trial(self, there: Path) -> None:
        options = ("--trials", "2", "--epochs", "3", "--lr", "1e30", "--out", "burnt")
        assert sweep(*BASE, *options, cwd=there).returncode == 1
        done = sweep(*BASE, "--warm-start", "burnt", "--out", "long", cwd=there)
        assert done.returncode == 2
        assert "no trial of it has completed; run it to its end: sweep run burnt" in done.stderr

    def test_check_tells_before_the_run(self, there: Path) -> None:
        done = sweep("check", "diabetes", "--warm-start", "shirt", "--out", "long", cwd=there)
        assert done.returncode == 2
        assert "warm_start: shirt: no results" in done.stdout
        done = sweep("check", "short", "--warm-start", "shirt", cwd=there)
        assert done.returncode == 0  # it has been run
        done = sweep("check", "short", "--warm-start", "shirt", "--fresh", cwd=there)
        assert done.returncode == 2  # and will be begun again
        assert "warm_start: shirt: no results" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
class TestRanking:
    """Loops whose value is known: how far the rate is from 0.1."""

    @pytest.fixture
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "train.py").write_text(LOOP)
        return self.run(tmp_path / "first", metric="skill", direction="maximize", trials=9)

    def run(self, folder: Path, trials: int, **settings: Any) -> Path:
        from sweep.study.locations import Location

        shared = {"loop": "train.py:train", "epochs": 2, "workers": 1, "confirm": False}
        shared |= {"pruner": "none", "space.scheduler": ["cosine", "linear"], "trials": trials}
        config = load_settings(None, {**shared, **settings})
        run_sweep(Location(folder.name, None, folder), config, Listener())
        return folder

    def test_it_held_across_directions(self, source: Path) -> None:
        folder = self.run(source.parent / "second", trials=10, warm_start=str(source))
        found = load_study(folder)
        summary = summarise(found.study, found.config, folder)
        assert summary.carried_over and summary.carried_over.held
        assert summary.carried_over.verdict == (
            "the ranking of 9 carried-over trials held: rank correlation 1.00"
        )
        first = found.study.trials[0]
        assert first.user_attrs["from_value"] == -min(t.values[0] for t in found.study.trials[:9])

    def test_it_did_not_hold(self, source: Path) -> None:
        settings = {"metric": "misled", "direction": "maximize", "warm_start": str(source)}
        folder = self.run(source.parent / "second", trials=9, **settings)
        carried = carried_over(read(folder))
        assert carried and carried.held is False
        assert carried.verdict == (
            "the ranking of 9 carried-over trials did not hold: rank correlation -1.00"
        )

    def test_too_few_to_tell(self, source: Path) -> None:
        folder = self.run(source.parent / "second", trials=3, warm_start=str(source))
        carried = carried_over(read(folder))
        assert carried and (carried.held, carried.correlation) == (None, None)
        assert carried.verdict.startswith("3 of 3 carried-over trials completed in both studies")

    def test_all_the_same(self, source: Path) -> None:
        settings = {"space.lr": 0.1, "space.scheduler": ["cosine"]}
        second = self.run(source.parent / "second", trials=6, **settings)
        third = source.parent / "third"
        self.run(third, trials=6, warm_start=str(second), **settings)
        carried = carried_over(read(third))
        assert carried and carried.held is None
        assert carried.verdict.endswith("cannot be compared: all have the same value")

    def test_nothing_was_carried_over(self, source: Path) -> None:
        assert carried_over(read(source)) is None
