"""Schedules to compare with, as flags and study files give them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sweep.base.errors import StudyFileError
from sweep.schedules.schedule import Schedule
from sweep.study.baselines.points import parameters_of
from sweep.study.baselines.reading import Baseline, baselines
from sweep.study.file import load_study
from sweep.study.settings import StudyConfig
from sweep.study.space import Suggestion

STEP = Schedule("step", 0.05, 0.01, params={"drops": 2})


def read(baseline: Any, **settings: Any) -> list[Baseline]:
    overrides = {"epochs": 90, "baseline": baseline}
    overrides |= {key.replace("__", "."): value for key, value in settings.items()}
    return baselines(load_study(None, overrides, {"baseline": "--baseline"}))


@pytest.mark.parametrize(
    "text",
    [
        "step,lr=0.05,decay=0.01,drops=2",
        " step , lr = 5e-2, decay = 0.01, drops=2 ",
        "torch: StepLR(step_size=30, gamma=0.1), lr=0.05",
        "torch:torch.optim.lr_scheduler.StepLR(optimizer, 30), lr=0.05",
        "StepLR(11730), lr=0.05, steps_per_epoch=391",
        {"scheduler": "step", "lr": 0.05, "decay": 0.01, "drops": 2},
        {"torch": "StepLR(30)", "lr": 0.05},
    ],
)
def test_one_schedule_in_several_spellings(text: Any) -> None:
    (found,) = read(text)
    assert found.name == "your present schedule"
    assert found.suggestion == Suggestion(STEP)


def test_what_became_of_torchs_is_told() -> None:
    (found,) = read("torch: StepLR(step_size=30, gamma=0.1), lr=0.05")
    assert found.told == (
        "StepLR(step_size=30, gamma=0.1) over 90 epochs is step, lr=0.05, decay=0.01, drops=2"
    )
    (in_steps,) = read("StepLR(300), lr=1.0", loop="a:b", horizon=900, evaluate_every=10, epochs=90)
    assert "over 900 steps" in in_steps.told
    assert not read("step,lr=0.05")[0].told


def test_several_are_told_apart_by_what_they_are_or_by_their_names() -> None:
    found = read(["constant,lr=0.1", "cyclic,lr=0.1,mode=triangular2,name='what we use'"])
    assert [each.name for each in found] == ["constant, lr=0.1", "what we use"]
    assert found[1].suggestion.schedule.params == {"cycles": 3, "mode": "triangular2"}


def test_what_is_searched_beside_the_schedule_is_the_optimizers_unless_it_is_given() -> None:
    (found,) = read("step,lr=0.05", optimizer__momentum=0.8, space__momentum="0:0.95")
    assert found.suggestion.momentum == 0.8
    (found,) = read("step,lr=0.05,momentum=0.5", optimizer__momentum=0.8)
    assert found.suggestion.momentum == 0.5


def test_a_rate_that_the_study_fixes_need_not_be_given_again() -> None:
    assert read("StepLR(30)", space__lr=0.05)[0].suggestion.schedule == STEP


def test_a_schedule_of_the_users_own() -> None:
    custom = {"factory": "mine:make", "params": {"teeth": "2:6"}}
    (found,) = read("saw,lr=0.1,teeth=4", custom__saw=custom)
    assert found.suggestion.schedule == Schedule(
        "saw", 0.1, params={"teeth": 4}, factory="mine:make"
    )
    with pytest.raises(StudyFileError, match="--baseline: saw needs teeth"):
        read("saw,lr=0.1", custom__saw=custom)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("step", "--baseline: lr is missing, its peak rate: lr=0.05"),
        ("StepLR(30)", "--baseline: lr is missing"),
        (
            "StepLR,lr=0.1",
            "unknown scheduler; torch's StepLR is step here; or give torch's with its",
        ),
        ("stpe,lr=0.1", "did you mean 'step'?"),
        (
            "step,lr=0.1,drop=2",
            "step has no parameter 'drop'; its parameters are drops; did you mean",
        ),
        ("step,lr=a", "lr = 'a': expected a number"),
        ("step,lr=f(x)", "lr=f(x) is neither a number nor a word"),
        ("step,lr=0.1) + (3", "expected a scheduler and its numbers, such as 'step, lr=0.05"),
        ("step,lr=0.1,lr=0.2", "expected a scheduler and its numbers"),
        ("what we use", "expected a scheduler and its numbers"),
        (
            "StepLR(30),lr=0.1,decay=0.1",
            "decay: not beside a scheduler of torch's, which settles it",
        ),
        ("step,lr=0.1,steps_per_epoch=3", "steps_per_epoch goes with a scheduler of torch's"),
        ({"lr": 0.1}, "expected either scheduler, one of ours, or torch, one of torch's"),
        (["step,lr=0.1", "step,lr=-1"], "baseline.1: lr must be positive and finite"),
    ],
)
def test_what_cannot_be_read_is_told(given: Any, told: str) -> None:
    with pytest.raises(StudyFileError) as refused:
        read(given)
    assert told in str(refused.value)


def test_what_a_loop_settles_itself_is_refused() -> None:
    with pytest.raises(StudyFileError, match="momentum: not used: training of your own"):
        read("step,lr=0.05,momentum=0.5", loop="train.py:train")


def test_a_study_file_has_tables_or_texts(tmp_path: Path) -> None:
    texts, tables = tmp_path / "texts.toml", tmp_path / "tables.toml"
    texts.write_text('epochs = 90\nbaseline = "torch: StepLR(30), lr=0.05"\n')
    tables.write_text('epochs = 90\n[[baseline]]\nscheduler = "step"\nlr = 0.05\ndrops = 2\n')
    for path in (texts, tables):
        config = load_study(path)
        assert [each.suggestion for each in baselines(config)] == [Suggestion(STEP)]
        assert StudyConfig.model_validate(tomllib.loads(config.to_toml())) == config
    assert "baseline" not in StudyConfig().to_toml()
    assert not any(key.startswith("baseline") for key in load_study(tables).comparable())


def test_torchs_names_lead_to_ours_where_schedulers_are_searched() -> None:
    with pytest.raises(StudyFileError, match="torch's CosineAnnealingLR is cosine here"):
        load_study(None, {"space.scheduler": ["CosineAnnealingLR"]})


def test_parameters_of_the_users_own_stand_beside() -> None:
    params = {"width": "16:64", "momentum": "0:0.95", "depth": 2}
    own = {"loop": "train.py:train", "space__params": params}
    (found,) = read("step,lr=0.05,decay=0.01,drops=2,width=32,momentum=0.9", **own)
    assert found.suggestion.schedule == STEP
    assert dict(found.suggestion.params) == {"width": 32, "momentum": 0.9, "depth": 2}
    space = load_study(None, {"loop": "train.py:train", "space.params": params}).search_space
    drawn = parameters_of(space, found.suggestion)
    assert drawn is not None and (drawn["width"], drawn["momentum"]) == (32, 0.9)
    with pytest.raises(StudyFileError, match="momentum is missing: the study searches it"):
        read("StepLR(30),lr=0.05,width=32", **own)
