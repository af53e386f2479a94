"""Results in a folder whose trials the storage does not have are not written over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import Notes
from small_runs import sweep as run

from sweep.base.errors import InputError, StudyChangedError, UnaccountedError
from sweep.runs.before.check import check_study
from sweep.runs.run import run_sweep
from sweep.search.storage.urls import JOURNAL
from sweep.study.locations import Location
from sweep.study.results_folder import EPOCHS, FILES, RESULTS
from sweep.study.settings import StudyConfig

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page", "brief_measurement")]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyConfig]:
    """The results of a real study of four trials, to be copied, and its settings."""
    folder = tmp_path_factory.mktemp("ended")
    _, config, location = run(folder, pruner__name="none")
    return location.folder, config


@pytest.fixture
def study(ended: tuple[Path, StudyConfig], tmp_path: Path) -> Path:
    return Path(shutil.copytree(ended[0], tmp_path / "small"))


def again(folder: Path, config: StudyConfig, fresh: bool = False) -> list[str]:
    """Run it once more; what it notes."""
    listener = Notes()
    run_sweep(Location("small", None, folder), config, listener, fresh)
    return listener.notes


def files(folder: Path) -> dict[str, bytes]:
    """All that a run may not touch: the locks are empty."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.stat().st_size}


def lines_of(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines(keepends=True)


def damage(number: int, start: int = 0, end: int = 1) -> Callable[[Path], None]:
    """Zeros in a line, all but so many bytes at its start and its end."""

    def write(journal: Path) -> None:
        lines = lines_of(journal)
        line = lines[number]
        lines[number] = line[:start] + b"\x00" * (len(line) - start - end) + line[-end:]
        journal.write_bytes(b"".join(lines))

    return write


LOST = "results.csv has 4 trials that the storage lacks: {journal} has 0 trials of this study. "


class TestAJournal:
    @pytest.mark.parametrize(
        ("harm", "expected"),
        [
            (lambda journal: journal.write_bytes(b""), LOST),
            (lambda journal: journal.unlink(), LOST),
            (lambda journal: journal.write_bytes(b"".join(lines_of(journal)[1:])), LOST),
            (damage(0), "{journal}: line 1 of "),
            (damage(20), "{journal}: line 21 of "),
            (damage(20, start=30, end=2), "{journal}: line 21 of "),
        ],
        ids=["emptied", "deleted", "headless", "first line", "middle line", "within a line"],
    )
    def test_that_has_lost_trials(
        self,
        study: Path,
        ended: tuple[Path, StudyConfig],
        harm: Callable[[Path], None],
        expected: str,
    ) -> None:
        config, journal = ended[1], study / JOURNAL
        harm(journal)
        before = files(study)
        with pytest.raises(UnaccountedError) as ran:
            again(study, config)
        assert expected.format(journal=journal) in str(ran.value)
        assert "--out" in str(ran.value) and "--fresh" in str(ran.value)
        checked = check_study(Location("small", None, study), config)
        assert checked.problems == (str(ran.value),)
        assert files(study) == before
        assert check_study(Location("small", None, study), config, fresh=True).problems == ()
        notes = again(study, config, fresh=True)
        assert any("results.csv (4 trials)" in note for note in notes)
        kept = study / f"{JOURNAL}.damaged-1"
        assert kept.exists() == ("line" in expected)
        if kept.exists():
            assert kept.read_bytes() == before[str(journal)]
        again(study, config)  # and the new ones are accounted for

    def test_a_torn_last_line_is_mended(self, study: Path, ended: tuple[Path, StudyConfig]) -> None:
        journal = study / JOURNAL
        with open(journal, "ab") as file:
            file.write(b'{"op_code":7,"worker_id":"x","trial_')
        assert any("half-written" in note for note in again(study, ended[1]))

    def test_the_end_of_a_trial_that_a_stopped_machine_lost(
        self, study: Path, ended: tuple[Path, StudyConfig]
    ) -> None:
        """The trial is known, so it is trained again: to the same values."""
        journal = study / JOURNAL
        lines = lines_of(journal)
        last = max(n for n, line in enumerate(lines) if b'"op_code":6' in line)
        journal.write_bytes(b"".join(lines[:last]))
        before = (study / EPOCHS).read_text().splitlines()
        assert any("resuming" in note for note in again(study, ended[1]))
        after = (study / EPOCHS).read_text().splitlines()
        assert [row.split(",")[:4] for row in after] == [row.split(",")[:4] for row in before]


class TestAnotherStorage:
    def test_an_empty_one(self, study: Path, ended: tuple[Path, StudyConfig]) -> None:
        other = study.parent / "other.db"
        config = ended[1].model_copy(update={"storage": str(other)})
        before = files(study)
        with pytest.raises(UnaccountedError, match=r"4 trials that the storage lacks"):
            again(study, config)
        assert files(study) == before and not other.exists()

    def test_one_with_as_many_trials_of_a_study_of_this_name(
        self, study: Path, ended: tuple[Path, StudyConfig], tmp_path: Path
    ) -> None:
        (tmp_path / "twin").mkdir()
        _, config, location = run(tmp_path / "twin", pruner__name="none")
        shutil.copy(location.folder / JOURNAL, study / JOURNAL)
        with pytest.raises(UnaccountedError, match=r"4 trials that the storage lacks.* 4 trials"):
            again(study, config)

    def test_a_study_of_another_name(self, study: Path, ended: tuple[Path, StudyConfig]) -> None:
        with pytest.raises(StudyChangedError, match="holds the results of study 'small'"):
            run_sweep(Location("large", None, study), ended[1], Notes())

    def test_more_trials_than_the_folder_knows_of(
        self, study: Path, ended: tuple[Path, StudyConfig]
    ) -> None:
        """Another machine has gone on with a shared storage."""
        more = ended[1].model_copy(update={"trials": 6})
        again(study, more)
        shutil.copy(ended[0] / RESULTS, study / RESULTS)
        again(study, more)


@pytest.mark.parametrize("name", FILES)
def test_files_of_these_names_that_no_sweep_wrote(tmp_path: Path, name: str) -> None:
    """`--out .`, where somebody keeps results of their own."""
    theirs = tmp_path / "small" / name
    theirs.parent.mkdir()
    theirs.write_text("when,what\nmonday,nothing\n")
    with pytest.raises(UnaccountedError) as raised:
        run(tmp_path)
    assert str(raised.value).startswith(f"{theirs} ") and "another --out" in str(raised.value)
    assert theirs.read_text() == "when,what\nmonday,nothing\n"
    assert not (theirs.parent / JOURNAL).exists()


@pytest.mark.parametrize(
    "settings",
    [{"device": "cuda:97"}, {"model": {"name": "no_such_module:Net"}}],
    ids=["device", "model"],
)
def test_fresh_throws_nothing_away_for_what_cannot_be_trained(
    study: Path, ended: tuple[Path, StudyConfig], settings: dict[str, Any]
) -> None:
    before = files(study)
    wanted = StudyConfig.model_validate(ended[1].model_dump(exclude_unset=True) | settings)
    with pytest.raises(InputError):
        again(study, wanted, fresh=True)
    assert files(study) == before
    with pytest.raises(InputError):
        again(study, ended[1].model_copy(update={"device": "cuda:97"}))
    assert files(study) == before
