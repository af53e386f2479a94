"""Event files for TensorBoard: a folder a trial, with scalars, hyperparameters and text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from sweep.base.files import write_whole
from sweep.report.trackers.contract import Study, StudyRun, TrialRun, trial_name
from sweep.report.writers import escaped

_STUDY = "study"
"""The run of the study as a whole, among those of its trials."""


class TensorBoard:
    """A log folder.

    A trial's event file is written whole and at once, and its name says whose it is, so that it is
    known whether a trial is there. The study's file grows by another one whenever it has changed.

    Args:
        place: The folder that TensorBoard is given.
        study: Whose runs.
    """

    def __init__(self, place: str, study: Study) -> None:
        self._study = study
        name = re.sub(r"[^\w.@ -]+", "_", study.name).strip(". ") or "study"
        folder = Path(place) / name
        if folder.is_dir() and not any(folder.glob(f"*/{_files(study)}")):
            taken = any(folder.rglob("*tfevents*"))  # by another study of that name
            folder = folder.with_name(f"{name}-{study.id}") if taken else folder
        self._folder = folder

    def has_trial(self, number: int) -> bool:
        """Whether its event file is there."""
        return any((self._folder / trial_name(number)).glob(_files(self._study)))

    def send_trial(self, trial: TrialRun) -> None:
        """Write its event file."""
        shown = dict(trial.params) | {"ending": trial.ending}
        start = summary_v2.hparams_pb(
            shown, trial_id=f"{self._study.id}-{trial.number}", start_time_secs=trial.started
        )
        events = [_event(start, trial.started)]
        for epoch in trial.epochs:
            events += [
                _event(_scalar(n, v), epoch.at, epoch.number) for n, v in epoch.values.items()
            ]
        for name, value in trial.results.items():
            events.append(_event(_scalar(f"hparam/{name}", value), trial.finished))
        about = f"**{escaped(trial.description)}**\n\n{_listed(trial.tags)}"
        events.append(_event(_text("trial", about), trial.finished))
        events.append(_event(_session_end(trial), trial.finished))
        self._write(self._folder / trial.name, events, trial.started)

    def send_study(self, study: StudyRun) -> None:
        """Write what it has come to, with the number of trials that have ended as the step."""
        events = [
            _event(_scalar(name, value), point.at, point.number)
            for point in study.course
            for name, value in point.values.items()
        ]
        events += [
            _event(_scalar(f"result/{name}", value), study.at, study.trials)
            for name, value in study.results.items()
        ]
        texts = {"study": _listed(study.tags), "report": study.report}
        if study.code:
            texts["best_schedule.py"] = f"```python\n{study.code.rstrip()}\n```"
        events += [_event(_text(n, text), study.at, study.trials) for n, text in texts.items()]
        folder = self._folder / _STUDY
        earlier = [*folder.glob(_files(self._study))]
        self._write(folder, events, study.at)
        for path in earlier:  # the new file holds the whole course again
            path.unlink()

    def close(self) -> None:
        """All is written."""

    def _write(self, folder: Path, events: list[Event], at: float) -> None:
        content = io.BytesIO()
        writer = RecordWriter(content)
        for event in (Event(wall_time=at, file_version="brain.Event:2"), *events):
            writer.write(event.SerializeToString())
        folder.mkdir(parents=True, exist_ok=True)
        when = f"{at:017.6f}".replace(".", "")  # TensorBoard reads them in the names' order
        write_whole(
            folder / f"events.out.tfevents.{when}.sweep-{self._study.id}", content.getvalue()
        )


def _files(study: Study) -> str:
    """The event files of a study's run, as a pattern."""
    return f"events.out.tfevents.*.sweep-{study.id}"


def _listed(tags: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {escaped(text)}" for name, text in tags.items())


def _event(summary: Summary, at: float, step: int = 0) -> Event:
    return Event(wall_time=at, step=step, summary=summary)


def _scalar(name: str, value: float) -> Summary:
    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def _text(name: str, markdown: str) -> Summary:
    about = text_metadata.create_summary_metadata(display_name=name, description="")
    tensor = tensor_util.make_tensor_proto(markdown)
    return Summary(value=[Summary.Value(tag=name, metadata=about, tensor=tensor)])


def _session_end(trial: TrialRun) -> Summary:
    """How a trial ended, in the words of TensorBoard's table of hyperparameters."""
    failed = trial.ending in ("failed", "diverged")
    ended = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS,
        end_time_secs=trial.finished,
    )
    data = plugin_data_pb2.HParamsPluginData(session_end_info=ended)
    value = Summary.Value(
        tag=hparams_metadata.SESSION_END_INFO_TAG,
        metadata=hparams_metadata.create_summary_metadata(data),
        tensor=hparams_metadata.NULL_TENSOR,
    )
    return Summary(value=[value])
