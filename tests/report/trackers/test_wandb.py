"""Offline runs of Weights & Biases, read back from their files."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from made_studies import CONFIG, mixed_study, write_best

from sweep.report.trackers.following import export
from sweep.search.trials import StudyReader

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of wandb's own

BLOCK = 2**15
READER = StudyReader(mixed_study(), CONFIG)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wandb")
    write_best(folder, trial=1)
    assert export(READER, folder, "wandb", str(folder)) == 8
    return folder


def records(folder: Path) -> Iterator[Any]:
    """Those of a run's file, which is a log as LevelDB has them, behind seven bytes."""
    record_of = import_module("wandb.proto.wandb_internal_pb2").Record
    (path,) = folder.glob("run-*.wandb")
    content, at, whole = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:  # no header fits into the rest of a block
            at += BLOCK - at % BLOCK
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole of a record, or its end
            record = record_of()
            record.ParseFromString(whole)
            yield record
            whole = b""


def run_of(place: Path, name: str) -> dict[str, Any]:
    """What a run's file says of it."""
    (folder,) = place.glob(f"wandb/offline-run-*-shop-*-{name}")
    found: dict[str, Any] = {"history": [], "summary": {}, "config": {}, "files": []}
    for record in records(folder):
        if record.HasField("run"):
            found["run"] = record.run
            items = record.run.config.update
            found["config"] |= {item.key: json.loads(item.value_json) for item in items}
        if record.HasField("history"):
            row = {(i.key or i.nested_key[0]): i.value_json for i in record.history.item}
            found["history"].append({key: json.loads(value) for key, value in row.items()})
        if record.HasField("summary"):
            items = record.summary.update
            found["summary"] |= {i.key or i.nested_key[0]: json.loads(i.value_json) for i in items}
        if record.HasField("files"):
            found["files"] += [file.path for file in record.files.files]
        if record.HasField("exit"):
            found["exit"] = record.exit.exit_code
    return found


def test_a_trial_is_a_run_of_the_studys_group(place: Path) -> None:
    found = run_of(place, "1")
    run = found["run"]
    assert (run.project, run.display_name, run.job_type) == ("shop", "trial-0001", "trial")
    assert run.run_group.startswith("shop ") and [*run.tags] == ["completed", "cosine"]
    history = [(row["_step"], row["val_mse"]) for row in found["history"]]
    assert history == [(1, 30), (2, 18), (3, 12), (4, 13)]
    config = {"scheduler": "cosine", "lr": 0.2, "decay": 0.01, "optimizer": "sgd"}
    assert config.items() <= found["config"].items()
    assert found["summary"]["val_mse"] == 12 and found["exit"] == 0


def test_endings_are_marked(place: Path) -> None:
    pruned, failed = run_of(place, "4"), run_of(place, "6")
    assert pruned["run"].tags[0] == "pruned" and pruned["exit"] == 0
    assert pruned["config"]["reason"] == "pruned at epoch 2 by auto"
    assert failed["run"].tags[0] == "failed" and failed["exit"] == 1


def test_the_studys_run_has_the_winners_files(place: Path) -> None:
    found = run_of(place, "study")
    assert found["run"].job_type == "study" and found["summary"]["winner"] == "1"
    (folder,) = place.glob("wandb/offline-run-*-study")
    kept = {path.name for path in (folder / "files").iterdir() if path.is_file()}
    assert kept >= {"best_schedule.json", "best_schedule.py"}


def test_nothing_of_the_machine_is_kept(place: Path) -> None:
    for path in place.glob("wandb/offline-run-*/**/*"):
        assert path.name not in ("requirements.txt", "wandb-metadata.json")
    run = run_of(place, "1")["run"]
    assert (run.host, run.git.remote_url, run.git.commit) == ("", "", "")


def test_to_send_it_again_makes_nothing_twice(place: Path) -> None:
    before = sorted(path.name for path in place.glob("wandb/offline-run-*"))
    assert len(before) == 9
    export(READER, place, "wandb", str(place))
    after = sorted(path.name for path in place.glob("wandb/offline-run-*"))
    assert len(after) == 9 and len({*before} & {*after}) >= 8
    assert not [*place.glob("wandb/.unfinished-*")]
