"""Learning-rate range test: the bounds hold what a real sweep finds."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from called import called as sweep
from loops import LINE
from rich.console import Console

from sweep.base.errors import InputError, TrainingError
from sweep.cli.lr_range_chart import lr_range_report
from sweep.runs.before.lr_range import BETWEEN, RATES, LrRange, find_range
from sweep.study.file import load_study
from sweep.study.locations import Location
from sweep.study.metric import Metric
from sweep.study.settings import StudyConfig
from sweep.study.space import Range

FOUND = LrRange(
    study="mine",
    rates=(1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0),
    values=(99.0, 70.0, 20.0, 0.0, 50.0, math.inf),
    untrained=100.0,
    epochs=2,
    steps=20,
    horizon=100,
    optimizer="sgd",
    unit="price",
    metric=Metric(),
)


class TestBounds:
    def test_by_hand(self) -> None:
        assert FOUND.threshold == 75
        assert (FOUND.best, FOUND.clear) == (3, (1, 4))
        # 1e-3 clears the threshold, and a whole trial is five times as long as the test
        assert FOUND.line == 'lr = "0.0002:1:log"'
        assert FOUND.notes == ()

    def test_what_falls_beyond_a_rate_that_diverges_is_luck(self) -> None:
        assert replace(FOUND, values=(99.0, 70.0, 20.0, 0.0, math.inf, 50.0)).clear == (1, 3)

    def test_ends_that_are_still_good_are_said(self) -> None:
        low, high = replace(FOUND, values=(60.0, 50.0, 20.0, 0.0, 30.0, 40.0)).notes
        assert "lower ones, too" in low and "higher ones, too" in high

    def test_rounds_away_from_divergence_to_two_digits(self) -> None:
        rates = (1.0e-4, 1.26e-3, 1e-2, 0.1, 0.2592, 10.0)
        bounds = replace(FOUND, rates=rates, horizon=20).bounds
        assert (bounds.low, bounds.high, bounds.log) == (0.0012, 0.25, True)

    def test_a_study_of_several_optimizers_has_a_range_of_each(self) -> None:
        found = replace(FOUND, optimizer="adamw", searched=("sgd", "adamw"))
        assert found.line == 'lr.adamw = "0.0002:1:log"'

    def test_a_hair_below_a_round_number_is_that_number(self) -> None:
        rates = (1.0e-4, 1e-3, 1e-2, 0.1, 0.3 - 1e-16, 10.0)
        bounds = replace(FOUND, rates=rates, horizon=20).bounds
        assert (bounds.low, bounds.high) == (0.001, 0.3)

    def test_one_good_rate_is_still_a_range(self) -> None:
        alone = replace(FOUND, values=(99.0, 90.0, 80.0, 0.0, 90.0, math.inf), horizon=20)
        assert alone.clear == (3, 3)
        assert alone.line == 'lr = "0.01:0.1:log"'  # the rates lie a factor of ten apart

    @pytest.mark.parametrize("spacing", [1.001, 1.02, 1.1, 1.6])
    @pytest.mark.parametrize("good", [0.1, 0.10999999, 0.11, 0.109, 0.0999, 0.0101, 3.14, 9.9])
    def test_rates_that_lie_close_together_are_kept_apart(
        self, good: float, spacing: float
    ) -> None:
        rates = tuple(good * spacing**place for place in (-2, -1, 0, 1))
        found = replace(FOUND, rates=rates, values=(99.0, 99.0, 0.0, 99.0), horizon=20)
        bounds = found.bounds
        assert bounds.low < bounds.high <= good
        assert bounds.low > good / max(spacing, 1.1) ** 2

    def test_json_has_no_infinities(self) -> None:
        fields = json.loads(json.dumps(FOUND.to_dict(), allow_nan=False))
        assert fields["val_mse"][-1] is None
        assert (fields["low"], fields["high"], fields["best_rate"]) == (0.0002, 1.0, 0.1)


MOMENTUM = {"sgd": [], "adam": ["--set", "optimizer.momentum=0"]}
MOMENTUM["adamw"] = MOMENTUM["adam"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("study", ["diabetes", "order_pre_minibatch"])
def test_bounds_hold_the_best_constant_rate_of_a_real_sweep(
    study: str, optimizer: str, tmp_path: Path
) -> None:
    given = [study, "--optimizer", optimizer, *MOMENTUM[optimizer]]
    done = sweep("lr-range", *given, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["optimizer"] == optimizer and len(found["rates"]) == RATES
    assert not (tmp_path / "studies").exists()

    grid = ["--scheduler", "constant", "--lr", f"{BETWEEN}:log", "--warmup", "0", "--decay", "1"]
    grid += ["--sampler", "grid", "--set", f"sampler.points={RATES}", "--trials", str(RATES)]
    grid += ["--set", "trial_seeds=shared"]
    searched = sweep("run", *given, *grid, "--pruner", "none", "--no-confirm", "-q", cwd=tmp_path)
    assert searched.returncode == 0, searched.stderr
    folder = tmp_path / "studies" / study
    trials = pd.read_csv(folder / "results.csv")
    completed = trials[trials["state"] == "COMPLETE"]
    best = completed.sort_values("val_mse")["lr"].iloc[0]
    assert found["low"] <= best <= found["high"]
    assert math.log10(found["high"] / found["low"]) < 4.5  # of the 7 decades that were tried

    # each rate took the course that its trial takes: the same numbers, epoch by epoch
    epochs = pd.read_csv(folder / "epochs.csv")
    short = epochs[epochs["epoch"] <= found["epochs"]].groupby("number")["val_mse"].min()
    for rate, value in zip(found["rates"], found["val_mse"], strict=True):
        trial = trials[np.isclose(trials["lr"], rate)]["number"].item()
        if value is not None and value < 10 * found["untrained"]:
            assert short[trial] == pytest.approx(value, rel=1e-3)


def settings(**changes: object) -> StudyConfig:
    """A small study of the diabetes set."""
    values = {
        "epochs": 4,
        "workers": 1,
        "data.source": "diabetes",
        "model.name": "linear",
        "optimizer.batch_size": 32,
        **changes,
    }
    return load_study(None, values)


HERE = Location("small", None, Path("nowhere"))


@pytest.mark.slow
class TestFindRange:
    def test_any_engine_does(self) -> None:
        one = find_range(HERE, settings(engine="sequential"), "1e-3:1", 6)
        many = find_range(HERE, settings(engine="vectorized"), "1e-3:1", 6)
        assert one.rates == many.rates and len(one.rates) == 6
        assert np.allclose(one.values, many.values, rtol=1e-4)
        assert one.epochs == 4 and one.steps == one.horizon == 40

    def test_a_searched_momentum_is_in_the_middle(self) -> None:
        fixed = find_range(HERE, settings(**{"optimizer.momentum": 0.5}), "1e-3:0.1", 4)
        searched = find_range(HERE, settings(**{"space.momentum": "0.2:0.8"}), "1e-3:0.1", 4)
        assert searched.values == fixed.values

    def test_rates_at_which_nothing_falls(self) -> None:
        with pytest.raises(TrainingError) as raised:
            find_range(HERE, settings(), "1e5:1e9", 4)
        assert "falls at none of 4 rates between 100000 and 1e+09 (diverged at" in str(raised.value)

    @pytest.mark.parametrize("between", ["1:0.1", "0:1", "a:b", "0.1", "-1:1"])
    def test_what_is_no_range(self, between: str) -> None:
        with pytest.raises(InputError, match=rf"^--between {between}: "):
            find_range(HERE, settings(), between)


@pytest.mark.slow
@pytest.mark.parametrize("maximize", [False, True])
def test_a_loop_of_ones_own(maximize: bool, tmp_path: Path) -> None:
    sign = "-" if maximize else ""
    (tmp_path / "train.py").write_text(LINE.replace('"val_mse": error', f'"gain": {sign}error'))
    values = {"loop": f"{tmp_path}/train.py:train", "metric": "gain", "epochs": 10, "workers": 1}
    given = load_study(None, {**values, "direction": "maximize" if maximize else "minimize"})
    found = find_range(Location("train", None, tmp_path / "out"), given, "1e-4:1e2", 7)
    assert (found.epochs, found.steps, found.horizon, found.counted_in) == (2, 2, 10, "epoch")
    assert found.rates[found.best] == pytest.approx(1.0)
    assert math.isinf(found.values[-1]) and found.bounds.high == 1.0
    assert 0.001 <= found.bounds.low <= 0.02  # a fifth of the first rate at which it falls
    console = Console(file=io.StringIO(), width=80)
    console.print(lr_range_report(found))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"gain {'rises' if maximize else 'falls'} by at least 25 %" in text
    assert "A trial has 10 epochs, the test 2" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
class TestCommand:
    def test_draws_the_curve_and_prints_the_line(self, tmp_path: Path) -> None:
        done = sweep("lr-range", "diabetes", "--epochs", "4", "--rates", "12", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line.rstrip() for line in done.stdout.splitlines()]
        assert lines[0].startswith("validation MSE after 4 epochs of sgd")
        assert max(map(len, lines)) <= 100
        assert lines[-4] == "[space]" and lines[-3].startswith('lr = "')
        bounds = lines[-3].removeprefix('lr = "').removesuffix('"')
        assert lines[-1] == f"search there: sweep run --lr {bounds} diabetes --epochs 4"
        used = load_study(None, {"space.lr": bounds}).space.lr
        assert isinstance(used, Range) and used.log and str(used) == bounds

    def test_the_line_fits_a_study_that_searches_the_optimizer(self, tmp_path: Path) -> None:
        study = 'epochs = 3\n[data]\nsource = "diabetes"\n[optimizer]\nname = ["sgd", "adamw"]\n'
        (tmp_path / "both.toml").write_text(study)
        lines = ["[space]"]
        for optimizer, other in (("sgd", "adamw"), ("adamw", "sgd")):
            given = ["both.toml", "--optimizer", optimizer, "--rates", "6"]
            done = sweep("lr-range", *given, cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            shown = [line.rstrip() for line in done.stdout.splitlines()]
            lines.append(next(line for line in shown if line.startswith(f"lr.{optimizer} = ")))
            then = f"sweep lr-range --optimizer {other} both.toml --rates 6"
            assert shown[-1] == f"the range of {other}: {then}"
        (tmp_path / "both.toml").write_text(study + "\n".join(lines))
        assert set(load_study(tmp_path / "both.toml").search_space.rates) == {"sgd", "adamw"}

    def test_init_writes_the_range(self, tmp_path: Path) -> None:
        places = np.arange(200)
        noise = np.random.default_rng(0).normal(size=200)
        frame = pd.DataFrame({"area": places % 17, "rooms": places % 5})
        frame["price"] = 3 * frame["area"] + frame["rooms"] ** 2 + noise
        frame.to_csv(tmp_path / "houses.csv", index=False)
        plain = sweep("init", "houses.csv", "--target", "price", cwd=tmp_path)
        assert plain.returncode == 0
        study = tmp_path / "studies" / "houses.toml"
        before = study.read_text().splitlines()
        done = sweep("init", "houses.csv", "--target", "price", "--probe", "--force", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        after = study.read_text().splitlines()
        (changed,) = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert changed[0].startswith('lr = "1e-4:1:log" ')
        assert f"tried {RATES} learning rates: {changed[1].partition('  ')[0]}\n" in done.stdout
        lr = load_study(study).space.lr
        assert isinstance(lr, Range) and lr.log and 1e-6 < lr.low < lr.high < 10
        assert changed[1].index("#") == changed[0].index("#")


def test_what_diverged_is_counted() -> None:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as heard:
        console.print(lr_range_report(FOUND, 80))
    text = " ".join(heard.get().split())
    assert "From 0.001 to 1 the MSE falls by at least 25 %" in text
    assert "1 of 6 rates diverged." in text
