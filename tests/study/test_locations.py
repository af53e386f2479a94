"""Which study a name means, and where its results go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweep.base.errors import InputError
from sweep.study.locations import Location, locate_results, locate_study, shipped_studies

SHIPPED = ["diabetes", "families", "order_pre", "order_pre_minibatch"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study_file(path: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("trials = 1\n")
    return file


def results_folder(path: str) -> Path:
    file = study_file(f"{path}/study.toml")
    (file.parent / "results.csv").touch()
    return file.parent


def study_error(study: str) -> str:
    with pytest.raises(InputError) as raised:
        locate_study(study)
    return str(raised.value)


def results_error(study: str | None) -> str:
    with pytest.raises(InputError) as raised:
        locate_results(study)
    return str(raised.value)


def test_shipped_studies() -> None:
    studies = shipped_studies()
    assert list(studies) == SHIPPED
    assert all(path.is_file() for path in studies.values())


class TestLocateStudy:
    def test_nothing_is_the_default_study(self) -> None:
        expected = Location("order_pre", shipped_studies()["order_pre"], Path("studies/order_pre"))
        assert locate_study(None) == expected

    @pytest.mark.parametrize("name", SHIPPED)
    def test_a_shipped_study_leaves_its_results_here(self, name: str) -> None:
        expected = Location(name, shipped_studies()[name], Path("studies") / name)
        assert locate_study(name) == expected

    def test_a_study_of_this_folder_goes_before_a_shipped_one(self) -> None:
        file = study_file("studies/diabetes.toml")
        assert locate_study("diabetes") == Location("diabetes", file, Path("studies/diabetes"))

    def test_a_path_leaves_its_results_beside_it(self, tmp_path: Path) -> None:
        file = study_file("far/away/mine.v2.toml")
        assert locate_study(str(file)) == Location("mine.v2", file, Path("far/away/mine.v2"))
        absolute = str(tmp_path / file)
        assert locate_study(absolute).folder == tmp_path / "far/away/mine.v2"

    @pytest.mark.parametrize("study", ["far/run", "far/run/", "far/run/study.toml"])
    def test_a_results_folder_is_the_study_as_it_was_run(self, study: str) -> None:
        folder = results_folder("far/run")
        assert locate_study(study) == Location("run", folder / "study.toml", folder)

    def test_the_working_folder_can_be_a_results_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results_folder("run")
        monkeypatch.chdir("run")
        assert locate_study(".") == Location("run", Path("study.toml"), Path("."))

    def test_a_users_own_study_toml_is_no_results_folder(self) -> None:
        """Its results must not be written over it."""
        file = study_file("project/study.toml")
        assert locate_study(str(file)) == Location("study", file, Path("project/study"))

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            ("houses.csv", "houses"),
            ("far/houses.csv.gz", "houses"),
            ("behaviour-log", "behaviour-log"),
            ("tables:make", "tables"),
            ("far/tables.py:make", "tables"),
        ],
    )
    def test_a_table_alone_names_the_study(self, data: str, name: str) -> None:
        assert locate_study(None, data=data) == Location(name, None, Path("studies") / name)

    def test_a_table_in_the_place_of_a_study_is_answered_with_what_takes_it(self) -> None:
        Path("houses.csv").write_text("a,b\n1,2\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"`sweep init houses\.csv --target COLUMN`"):
            locate_study("houses.csv")

    def test_a_study_with_another_table_keeps_its_name(self) -> None:
        assert locate_study("diabetes", data="houses.csv").name == "diabetes"

    def test_out_is_the_results_folder_whatever_the_study(self) -> None:
        out = Path("elsewhere")
        file, run = study_file("mine.toml"), results_folder("run")
        for study in (None, "diabetes", str(file), str(run)):
            assert locate_study(study, out).folder == out
        assert locate_study(None, out, "houses.csv") == Location("houses", None, out)

    def test_unknown_names(self) -> None:
        study_file("studies/mine.toml")
        assert study_error("diabets") == (
            "no study named 'diabets'; did you mean 'diabetes'? (here: diabetes, families, mine, "
            "order_pre, order_pre_minibatch; or give a study file's path)"
        )

    def test_a_file_that_is_not_there(self) -> None:
        study_file("mine.toml")
        assert study_error("mien.toml") == (
            "mien.toml: no such study file; did you mean 'mine.toml'?"
        )
        assert study_error("far/mine.toml") == (
            "far/mine.toml: no such study file; there is no folder far"
        )

    def test_a_folder_without_results_is_no_study(self) -> None:
        Path("empty").mkdir()
        assert study_error("empty").startswith("no study named 'empty' (here: ")


class TestCodeFolders:
    """Where `module:Class` and a table's relative path are looked for."""

    def test_beside_the_study_file_then_here(self, tmp_path: Path) -> None:
        location = locate_study(str(study_file("far/mine.toml")))
        assert location.code_folders == (tmp_path / "far", tmp_path)

    def test_here_for_a_table_alone(self, tmp_path: Path) -> None:
        assert locate_study(None, data="houses.csv").code_folders == (tmp_path,)

    def test_a_results_folder_finds_what_its_study_file_found(self, tmp_path: Path) -> None:
        location = locate_study(str(results_folder("far/mine")))
        assert location.code_folders == (tmp_path / "far/mine", tmp_path / "far", tmp_path)


class TestLocateResults:
    def test_nothing_is_the_study_that_was_run_last(self) -> None:
        for name, time in (("a", 30), ("b", 50), ("c", 40)):
            os.utime(results_folder(f"studies/{name}") / "study.toml", (time, time))
        assert locate_results(None) == Path("studies/b")

    @pytest.mark.parametrize(
        ("study", "expected"),
        [
            ("mine", "studies/mine"),
            ("studies/mine", "studies/mine"),
            ("studies/mine/", "studies/mine"),
            ("studies/mine.toml", "studies/mine"),
            ("studies/mine/study.toml", "studies/mine"),
            ("studies/mine/results.csv", "studies/mine"),
            ("exp.v2", "studies/exp.v2"),
        ],
    )
    def test_names_and_paths(self, study: str, expected: str) -> None:
        study_file("studies/mine.toml")
        results_folder("studies/mine")
        results_folder("studies/exp.v2")
        results_folder("exp")  # not what exp.v2 means
        assert locate_results(study) == Path(expected)

    def test_the_working_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(results_folder("run"))
        assert locate_results(".") == Path(".")

    def test_a_file_beside_results_is_not_among_them(self) -> None:
        """`report other.toml` must not show what lies next to it."""
        results_folder("run")
        study_file("run/other.toml")
        assert results_error("run/other.toml").startswith("run/other.toml: no results")

    def test_nothing_was_run(self) -> None:
        assert results_error(None) == "no results in studies/ here; run a study first: sweep run"
        assert results_error("mine") == "mine: no results; run it first: sweep run mine"

    def test_unknown_names(self) -> None:
        results_folder("studies/diabetes")
        results_folder("studies/mine")
        assert results_error("diabets") == (
            "diabets: no results; did you mean 'diabetes'? (here: diabetes, mine); "
            "run it first: sweep run diabets"
        )

    @pytest.mark.parametrize("study", ["..", "/", "", "~"])
    def test_places_without_a_name(self, study: str) -> None:
        assert results_error(study).startswith(f"{study}: no results")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python src/train.py --data cifar.py", "train"),
        ("torchrun --nproc-per-node 2 main.py", "main"),
        ("python -m pkg.fit --amp", "fit"),
        ("./run.sh -m", "run"),
        ("python -c pass", "python"),
    ],
)
def test_a_command_names_its_study(command: str, name: str) -> None:
    assert locate_study(None, command=command.split()).folder == Path("studies") / name
