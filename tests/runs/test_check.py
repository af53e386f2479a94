"""Preflight: what would fail, found before it is run."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from called import Called, called
from torch import Tensor, nn

from sweep.base.errors import ScheduleError
from sweep.data.load import load_dataset
from sweep.runs.before.speed import Speed, forecast, measure
from sweep.schedules.dry_run import step_through
from sweep.schedules.schedule import SHAPES, Schedule
from sweep.search.strategies.pruners import decision_epochs
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.range_ends import check_ends
from sweep.study.sections import SamplerConfig, SpaceConfig
from sweep.study.settings import StudyConfig
from sweep.study.space import Range, Space
from sweep.training.contract import TrainingData, TrainingSettings
from sweep.training.examine.anatomy import Anatomy, examine

OWN = """
import time

import torch
from torch import nn
from torch.optim import lr_scheduler


class Idle(nn.Module):
    "The parameters of `side` are never used, and it prints."

    def __init__(self, features):
        super().__init__()
        self.main, self.side = nn.Linear(features, 1), nn.Linear(features, 1)

    def forward(self, x):
        print("forward")
        return self.main(x)


class Slow(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.layer = nn.Linear(features, 1)
        self.noise = nn.AlphaDropout(1e-6)  # trained one by one

    def forward(self, x):
        time.sleep(0.03)
        return self.noise(self.layer(x))


class Noisy(nn.Sequential):
    def __init__(self, features):
        layers = nn.Linear(features, 4), nn.LayerNorm(4), nn.AlphaDropout(0.1), nn.Linear(4, 1)
        super().__init__(*layers)


def fails_high(optimizer, total_steps, *, decay, teeth):
    if teeth > 5:
        raise ValueError("too many teeth")
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)


def turns_nan(optimizer, total_steps, *, decay):
    return lr_scheduler.LambdaLR(optimizer, lambda t: float("nan") if t == 3 else 1.0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with modules and a table with gaps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_check.py").write_text(OWN)
    places = np.arange(60)
    frame = pd.DataFrame(
        {"area": 10.0 + places % 13, "kind": list("abc") * 20, "price": places**1.5}
    )
    frame.loc[[3, 7], "area"] = np.nan
    frame.loc[5, "kind"] = None
    frame.to_csv("houses.csv", index=False)
    return tmp_path


@pytest.fixture
def sweep(folder: Path) -> Called:
    """The command line, called in this process and that folder."""
    return functools.partial(called, cwd=folder)


def rows(count: int = 70, features: int = 3) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = (
        torch.randn(count, features, generator=generator),
        torch.randn(count, generator=generator),
    )
    return TrainingData(x, y, x[:9], y[:9], 1.0)


def anatomy(model: nn.Module, batch_size: int | None = 32) -> Anatomy:
    return examine(model, rows(), TrainingSettings(epochs=1, batch_size=batch_size))


class TestAnatomy:
    def test_layer_by_layer(self) -> None:
        found = anatomy(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1)))
        assert [(x.name, x.kind, x.inputs, x.outputs, x.parameters) for x in found.layers] == [
            ("0", "Linear", (32, 3), (32, 5), 20),
            ("1", "ReLU", (32, 5), (32, 5), 0),
            ("2", "Linear", (32, 5), (32, 1), 6),
        ]
        assert (found.trainable, found.frozen, found.problems) == (26, 0, ())
        assert all(gradient.norm for gradient in found.gradients)

    def test_parameters_that_no_gradient_reaches(self) -> None:
        class Idle(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.used, self.idle, self.cut = nn.Linear(3, 1), nn.Linear(3, 1), nn.Linear(3, 1)
                self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

            def forward(self, x: Tensor) -> Tensor:
                y: Tensor = self.used(x) + self.cut(x).detach() * self.frozen
                return y

        found = anatomy(Idle())
        names = ("idle.weight", "idle.bias", "cut.weight", "cut.bias")
        assert found.without_gradient == names
        assert len(found.problems) == 1 and all(name in found.problems[0] for name in names)
        assert (found.trainable, found.frozen) == (12, 1)

    def test_a_gradient_of_zero_is_told_apart(self) -> None:
        first = nn.Linear(3, 5)
        nn.init.constant_(first.bias, -100.0)
        model = nn.Sequential(first, nn.ReLU(), nn.Linear(5, 1))
        found = anatomy(model)
        assert found.zero_gradient == ("0.weight", "0.bias", "2.weight")
        assert found.problems == ()

    def test_a_forward_pass_that_breaks_is_shown_as_far_as_it_came(self) -> None:
        found = anatomy(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(4, 1)))
        assert [layer.name for layer in found.layers] == ["0", "1"]
        assert (found.graph, found.gradients, found.loss) == (None, (), None)
        assert len(found.problems) == 1 and "forward pass failed" in found.problems[0]

    def test_the_model_stays_as_it_was(self) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        state = torch.get_rng_state()
        found = anatomy(model, batch_size=None)
        assert found.problems == ()
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_the_last_batch_of_an_epoch_is_tried(self) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        (problem,) = anatomy(model, batch_size=23).problems  # 70 rows: the last batch has one
        assert "the last batch of an epoch has 1 of the 70 training rows" in problem


class TestSchedules:
    @pytest.mark.parametrize("name", SHAPES)
    @pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (1, 49), (7, 30)])
    def test_every_built_in_one_can_be_stepped(self, name: str, steps: int, epochs: int) -> None:
        space = SpaceConfig(scheduler=[name], lr=Range(1e-3, 1.0, log=True))
        for end in StudyConfig(space=space).search_space.ends(name):
            rates = step_through(end.schedule, steps, epochs)
            assert len(rates) == steps * epochs
            assert rates.max() <= end.schedule.lr * (1 + 1e-9)

    def test_a_long_horizon_takes_no_long_time(self) -> None:
        started = time.process_time()
        assert len(step_through(Schedule("cosine", lr=0.1), 10_000, 100)) == 5000
        assert time.process_time() - started < 20  # a million steps would take far longer

    def test_what_the_run_begins_with_takes_a_few_milliseconds(self) -> None:
        space = StudyConfig(space=SpaceConfig(scheduler=list(SHAPES))).search_space
        check_ends(space, 660)
        started = time.process_time()
        check_ends(space, 660)
        assert time.process_time() - started < 0.5

    def test_a_range_that_torch_cannot_follow(self) -> None:
        space = Space(
            schedulers=("cosine", "onecycle"),
            shared={
                "lr": Range(1e-3, 1.0, log=True),
                "decay": Range(1e-320, 1.0, log=True),
                "warmup": Range(0.0, 0.2),
            },
        )
        with pytest.raises(ScheduleError) as raised:
            check_ends(space, 100)
        assert str(raised.value).startswith("scheduler 'onecycle' at the low end of its ranges (")
        assert "torch would get final_div_factor=inf" in str(raised.value)

    def test_ends_of_a_fixed_space_are_one(self) -> None:
        space = StudyConfig(
            space=SpaceConfig(scheduler=["constant"], lr=Range(0.1, 0.1), warmup=Range(0.0, 0.0))
        ).search_space
        assert [end.schedule for end in space.ends("constant")] == [Schedule("constant", lr=0.1)]


class TestForecast:
    @pytest.mark.parametrize(
        ("name", "epochs", "share"),
        [
            # after 4, 10 and 20 of 30 epochs half goes on
            ("halving", 30, (4 + 6 / 2 + 10 / 4 + 10 / 8) / 30),
            # auditions of 3 epochs; a third is trained for 8 from the start, half of it for 30
            ("auto", 30, (3 + 8 / 3 + 22 / 6) / 30),
            # without auditions, after an epoch and after 3 and 5
            ("auto", 7, (1 + 2 / 2 + 2 / 4 + 2 / 8) / 7),
            ("none", 30, 1.0),
            ("thorough", 30, 17.5 / 30),
            ("median", 30, None),
        ],
    )
    def test_share_of_the_epochs(self, name: str, epochs: int, share: float | None) -> None:
        config = StudyConfig.model_validate({"pruner": name, "epochs": epochs})
        assert config.usual_share == (share and pytest.approx(share))

    def test_follows_the_rungs(self) -> None:
        pruner = {"name": "asha", "min_resource": 2, "reduction_factor": 4}
        config = StudyConfig.model_validate({"pruner": pruner, "epochs": 10})
        assert decision_epochs(config.pruner, 10) == frozenset({2, 8})
        assert config.usual_share == pytest.approx((2 + 6 / 4 + 2 / 16) / 10)

    def test_a_budget_is_the_time_of_so_many_trainings(self) -> None:
        config = StudyConfig.model_validate({"budget": 40, "epochs": 30})
        ahead = forecast(config, Speed("", (), 2, 8, 3.0, 10.0))
        assert ahead is not None and ahead.trials == config.trials
        assert ahead.search_secs == pytest.approx((40 - 8) * 3.0)
        assert ahead.confirm_secs == pytest.approx(8 * 3.0)
        assert ahead.total_secs == pytest.approx(3 + 40 * 3.0)

    def test_adds_up(self) -> None:
        config = StudyConfig(trials=1000, epochs=30)
        ahead = forecast(config, Speed("", (), 2, 8, 3.0, 100.0))
        assert ahead is not None
        assert ahead.unpruned_secs == pytest.approx(300)
        assert ahead.search_secs == pytest.approx((3 + 8 / 3 + 22 / 6) / 30 * 300)
        assert ahead.confirm_secs == pytest.approx(0.2 * 300)
        assert ahead.total_secs == pytest.approx(3 + (3 + 8 / 3 + 22 / 6) / 30 * 300 + 60)

    def test_asking_many_trials_of_tpe_takes_longer_than_training_them(self) -> None:
        fast = Speed("", (), 2, 8, 3.0, 1e6)
        random = SamplerConfig(name="random")
        times = [
            forecast(StudyConfig(trials=trials, sampler=sampler), fast)
            for trials in (100, 2000)
            for sampler in (random, SamplerConfig(name="tpe"))
        ]
        few, few_tpe, many, many_tpe = (each.search_secs for each in times if each)
        assert few < few_tpe < many < many_tpe
        assert many == pytest.approx(20 * few) and many_tpe > 60 * few_tpe

    def test_there_is_none_without_a_speed(self) -> None:
        assert forecast(StudyConfig(), Speed("", (), 2, 8, 3.0, 0.0)) is None

    @pytest.mark.slow
    def test_a_long_epoch_is_measured_by_its_first_batches(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sweep.runs.before.speed._MOST_SECS", 3.0)
        given = {"data.source": "diabetes", "model.name": "own_check:Slow", "epochs": 3}
        config = load_study(None, {**given, "workers": 1, "optimizer.batch_size": 2})
        location = Location("slow", None, folder)
        data = load_dataset(config.data, 0)
        batches = len(data.x_train) // 2
        assert batches > 150  # they sleep longer than is measured, four of them far shorter
        speed = measure(location, config, data)
        assert 0.01 < speed.epochs_per_sec < 1 / (batches * 0.03)
        assert speed.notes[-1].startswith("an epoch takes longer than 3 s")


@pytest.mark.slow
@pytest.mark.usefixtures("brief_measurement")
class TestCommand:
    def test_all_is_well(self, folder: Path, sweep: Called) -> None:
        small = ("--target", "price", "--model", "linear", "--trials", "8", "--workers", "1")
        shown = sweep("check", "--data", "houses.csv", *small)
        assert (shown.returncode, shown.stderr) == (0, "")
        for part in (
            "area (2), kind (1)",
            "AccumulateGrad: layers.0.weight (1, 5)",
            "a gradient reaches every parameter",
            "vectorized: many trials at once",
            "all is well: houses can be run",
        ):
            assert part in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 100
        assert not (folder / "studies").exists()

    def test_json(self, folder: Path, sweep: Called) -> None:
        small = ("--target", "price", "--model", "own_check:Noisy", "--workers", "1")
        done = sweep("check", "--data", "houses.csv", *small, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        facts = json.loads(done.stdout)
        assert facts["problems"] == []
        assert facts["data"]["rows"] == [42, 12, 6]
        assert facts["data"]["missing"] == {"area": 2, "kind": 1}
        assert facts["model"]["trainable"] == 37 and facts["model"]["graph"][0].startswith(
            "MseLoss"
        )
        assert facts["speed"]["engine"].startswith("sequential")
        note = facts["speed"]["notes"][0]  # a busy machine may add one about its speed
        assert "2 (AlphaDropout): it draws random numbers otherwise than by dropout" in note
        assert facts["speed"]["epochs_per_sec"] > 0
        assert facts["forecast"]["total_secs"] > facts["forecast"]["search_secs"] > 0
        assert len(facts["schedules"]) == 14

    def test_all_problems_are_listed_together(self, folder: Path, sweep: Called) -> None:
        study = folder / "mine.toml"
        study.write_text(
            "epochs = 4\npruner = 'medain'\n[data]\nsource = 'houses.csv'\ntarget = 'price'\n"
            "[model]\nname = 'own_check:Idle'\n"
            "[space]\nscheduler = ['cosine', 'saw', 'nan']\n"
            "[custom.saw]\nfactory = 'own_check:fails_high'\nparams = {teeth = '2:6'}\n"
            "[custom.nan]\nfactory = 'own_check:turns_nan'\n"
        )
        done = sweep("check", "mine.toml", "--json")
        assert done.returncode == 2
        facts = json.loads(done.stdout)
        assert "unknown pruner; did you mean 'median'?" in facts["problems"][0]
        assert "no gradient reaches side.weight, side.bias" in facts["problems"][1]
        assert "scheduler 'saw' at the high end" in facts["problems"][2]
        assert "too many teeth" in facts["problems"][2]
        assert "scheduler 'nan' at the low end" in facts["problems"][3]
        assert "gives the rate nan at step 3" in facts["problems"][3]
        assert (
            len(facts["problems"]) == 4
            and facts["speed"] is None
            and facts["data"]["target"] == "price"
        )
        shown = sweep("check", "mine.toml")
        assert shown.returncode == 2
        assert "4 problems" in shown.stdout and "too many teeth" in shown.stdout

    def test_without_data_the_rest_is_still_checked(self, folder: Path, sweep: Called) -> None:
        arguments = ("--data", "nowhere.csv", "--target", "price", "--model", "own_chekc:Net")
        done = sweep("check", *arguments, "--json")
        facts = json.loads(done.stdout)
        assert done.returncode == 2 and len(facts["problems"]) == 2
        assert "nowhere.csv" in facts["problems"][0] and "own_chekc" in facts["problems"][1]
        assert len(facts["schedules"]) == 14

    def test_trials_with_other_settings(self, folder: Path, sweep: Called) -> None:
        small = ("--data", "houses.csv", "--target", "price", "--model", "linear")
        few = (*small, "--scheduler", "step", "--trials", "2", "--workers", "1", "--no-confirm")
        assert sweep("run", *few, "--epochs", "1", "-q").returncode == 0
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        fine = sweep("check", *few, "--epochs", "1", "--json")
        assert json.loads(fine.stdout)["problems"] == []
        done = sweep("check", *few, "--epochs", "2", "--json")
        (problem,) = json.loads(done.stdout)["problems"]
        assert done.returncode == 2 and "  epochs: was 1, now 2\n" in problem
        assert (
            json.loads(done.stdout)["forecast"]["epochs"] == 2
        )  # it can be trained, so it is timed
        fresh = sweep("check", *few, "--epochs", "2", "--fresh", "--json")
        assert (fresh.returncode, fresh.stderr) == (0, "")
        assert json.loads(fresh.stdout)["forecast"]["epochs"] == 2
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        ran = sweep("run", *few, "--epochs", "2")
        assert ran.stderr == f"error: {problem}\n"

    def test_a_storage_that_cannot_be_used(self, folder: Path, sweep: Called) -> None:
        small = ("--data", "houses.csv", "--target", "price", "--model", "linear")
        done = sweep("check", *small, "--storage", "houses.csv", "--json")
        (problem,) = json.loads(done.stdout)["problems"]
        assert done.returncode == 2 and "houses.csv: not an Optuna journal" in problem
        assert sorted(path.name for path in folder.iterdir()) == ["houses.csv", "own_check.py"]
        ran = sweep("run", *small, "--storage", "houses.csv")
        assert ran.stderr == f"error: {problem}\n"

    def test_a_database_that_has_lost_a_column(self, folder: Path, sweep: Called) -> None:
        url = f"sqlite:///{folder}/a.db"
        study = optuna.create_study(storage=url, study_name="houses")
        study.tell(study.ask(), 1.0)
        with contextlib.closing(sqlite3.connect("a.db")) as database:
            database.execute("ALTER TABLE trials RENAME COLUMN state TO stage")
            database.commit()
        small = ("--data", "houses.csv", "--target", "price", "--model", "own_check:Idle")
        done = sweep("check", *small, "--storage", "a.db", "--json")
        assert done.returncode == 2
        gradient, storage = json.loads(done.stdout)["problems"]
        assert "no gradient reaches side.weight, side.bias" in gradient
        assert storage.startswith(f"{url}: the storage failed: (sqlite3.OperationalError) no such ")

    def test_a_wrong_direction_is_one_problem(self, folder: Path, sweep: Called) -> None:
        (folder / "train.py").write_text("def train(schedule):\n    yield schedule.rates(9)[0]\n")
        optuna.create_study(storage="sqlite:///a.db", study_name="train", direction="maximize")
        loop = ("--loop", "train.py:train", "--metric", "accuracy", "--storage", "a.db", "--json")
        done = sweep("check", *loop, "--direction", "maximise")
        (problem,) = json.loads(done.stdout)["problems"]
        assert done.returncode == 2 and problem.splitlines()[0].startswith(
            "--direction 'maximise': "
        )
        done = sweep("check", *loop, "--direction", "minimize")
        (problem,) = json.loads(done.stdout)["problems"]
        assert "with the direction maximize, not minimize; give another --out" in problem
        done = sweep("check", *loop, "--direction", "minimize", "--fresh")
        assert json.loads(done.stdout)["problems"] == []
        (problem,) = json.loads(sweep("check", *loop).stdout)["problems"]
        assert problem == (
            "direction: missing: more of accuracy is usually better; give --direction maximize, or "
            '--direction minimize if less of it is (direction = "maximize" in a study file)'
        )

    def test_a_grid_that_is_not_tried_whole_is_told(self, folder: Path, sweep: Called) -> None:
        small = ("--data", "houses.csv", "--target", "price", "--model", "linear", "--json")
        grid = (*small, "--sampler", "grid", "--scheduler", "cosine", "--workers", "1")
        found = json.loads(sweep("check", *grid, "--pruner", "none", "--trials", "5").stdout)
        assert found["notes"] == [
            "the grid has 27 points, more than 5 trials can try: those that are tried are spread "
            "over it; --trials 27 tries all"
        ]
        assert found["problems"] == [] and found["forecast"]["trials"] == 5
        found = json.loads(sweep("check", *grid, "--pruner", "none", "--trials", "500").stdout)
        assert found["notes"] == ["the grid has 27 points: 27 trials are run"]
        assert found["forecast"]["trials"] == 27
        found = json.loads(sweep("check", *grid, "--budget", "2", "--pruner", "none").stdout)
        assert found["forecast"]["trials"] == 2

    def test_a_study_that_is_not_there(self, folder: Path, sweep: Called) -> None:
        done = sweep("check", "diabets")
        assert (done.returncode, done.stdout) == (2, "")
        assert "did you mean 'diabetes'?" in done.stderr


@pytest.mark.slow
class TestRunBeginsWithIt:
    def test_a_custom_schedule_that_fails_at_one_end(self, folder: Path, sweep: Called) -> None:
        study = folder / "mine.toml"
        study.write_text(
            "epochs = 2\n[data]\nsource = 'houses.csv'\ntarget = 'price'\n"
            "[model]\nname = 'linear'\n[space]\nscheduler = ['saw']\n"
            "[custom.saw]\nfactory = 'own_check:fails_high'\nparams = {teeth = '2:6'}\n"
        )
        done = sweep("run", "mine.toml", "--workers", "1")
        assert done.returncode == 2
        assert "too many teeth" in done.stderr
        assert not (folder / "mine" / "results.csv").exists()

    def test_a_range_that_torch_cannot_follow(self, folder: Path, sweep: Called) -> None:
        arguments = ("--scheduler", "onecycle", "--decay", "1e-320:1:log")
        done = sweep("run", "diabetes", *arguments)
        assert done.returncode == 2
        assert "scheduler 'onecycle' at the low end of its ranges" in done.stderr
        assert not (folder / "studies").exists()
