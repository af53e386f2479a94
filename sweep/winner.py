"""The winner of a sweep: its weights, its test rows, and the files that say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial

from sweep import results
from sweep.coordinator import trial_spec
from sweep.dataset import Dataset
from sweep.errors import TrainingError
from sweep.locations import Location
from sweep.records import TrialRecord
from sweep.settings import StudyConfig
from sweep.training.engine import EpochResult, TrainingSettings, TrialError
from sweep.workers import Save, save_weights


@dataclass(frozen=True)
class Sweep:
    """What the steps of a sweep share.

    Args:
        location: The study's name, file and results folder.
        config: Its settings.
        data: Its prepared rows.
        study: Its trials.
        note: Tells the user a sentence.
    """

    location: Location
    config: StudyConfig
    data: Dataset
    study: optuna.Study
    note: Callable[[str], None]

    @property
    def settings(self) -> TrainingSettings:
        """What all trials share."""
        batch_size = self.config.optimizer.batch_size
        return TrainingSettings(
            epochs=self.config.epochs,
            batch_size=None if batch_size == "full" else batch_size,
            clip=self.config.optimizer.clip,
            objective=self.config.objective,
            device=self.config.device,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the training rows."""
        return self.settings.steps_per_epoch(len(self.data.x_train))

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials in the storage, by number."""
        return self.study.get_trials(deepcopy=False)


def _about_best(sweep: Sweep, trial: FrozenTrial) -> dict[str, Any]:
    data = sweep.data
    return {
        "trial": trial.number,
        "val_mse": trial.value,
        "model": sweep.config.model.model_dump(mode="json"),
        "features": list(data.features),
        "target_mean": data.target_mean,
        "target_scale": data.target_scale,
    }


def save_order(sweep: Sweep, trial: FrozenTrial) -> Save:
    path = sweep.location.folder / results.BEST_MODEL
    return Save(trial.number, path.absolute(), _about_best(sweep, trial))


def write_winner(sweep: Sweep) -> None:
    """Write everything about the winner; only now are the test rows looked at."""
    best = results.completed(sweep.trials)[0]
    score = None
    weights = _best_weights(sweep, best)
    if len(sweep.data.y_test):
        prediction = _predict_test(sweep, weights)
        score = results.write_predictions(sweep.location.folder, sweep.data, prediction)
    results.write_best(
        sweep.location.folder,
        sweep.location.name,
        sweep.trials,
        sweep.config,
        sweep.steps_per_epoch,
        sweep.data.unit,
        score,
    )


def _best_weights(sweep: Sweep, best: FrozenTrial) -> dict[str, Any]:
    """The best trial's weights, from `best_model.pt`.

    If it is another trial's (the process was killed before it could save them, or another
    machine trained the best trial), the trial is trained once more: the same seed gives the
    same numbers.
    """
    import torch

    path = sweep.location.folder / results.BEST_MODEL
    if path.exists():
        saved = torch.load(path, weights_only=True)
        if (saved["trial"], saved["val_mse"]) == (best.number, best.value):
            return dict(saved["state_dict"])
    sweep.note(f"training trial {best.number} once more, for its weights")
    weights = _retrain(sweep, best)
    save_weights(path, weights, _about_best(sweep, best))
    return weights


def _retrain(sweep: Sweep, trial: FrozenTrial) -> dict[str, Any]:
    """The weights of a trial that is trained once more.

    Raises:
        TrainingError: It raises this time.
    """
    import torch

    from sweep.training.build import build_engine

    config = sweep.config
    torch.set_num_threads(1)  # as in a worker: other threads add up in another order
    engine = build_engine(
        sweep.data,
        config.model,
        sweep.location.code_folders,
        sweep.settings,
        config.engine,
        config.lanes,
    )
    suggestion = results.suggestion_of(trial, config.search_space)
    engine.add(trial_spec(config, trial.number, suggestion))
    curve: list[EpochResult] = []
    for _ in range(config.epochs):
        for result in engine.train_epoch():
            if isinstance(result, TrialError):
                raise TrainingError(
                    f"trial {trial.number}, trained once more for its weights: {result.error}"
                )
            curve.append(result)
    again = TrialRecord.from_curve(0, curve, "").val_mse(config.objective)
    assert trial.value is not None
    if again is None or abs(again - trial.value) > 1e-3 * trial.value:
        sweep.note(f"it now ends at a validation MSE of {again}, not {trial.value:.6g}")
    return engine.weights(trial.number)


def _predict_test(sweep: Sweep, weights: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The prediction for the test rows, standardised, (rows,)."""
    import torch

    from sweep.models import build_model, predict

    x = torch.from_numpy(sweep.data.x_test)
    model = build_model(sweep.config.model, x.shape[1], 0, sweep.location.code_folders)
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        prediction = predict(model, x)
    return np.asarray(prediction.numpy(), dtype=np.float32)
