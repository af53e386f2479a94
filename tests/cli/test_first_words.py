"""`sweep` alone, and what commands say is next: commands that work when they are pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from called import Called

from sweep.base.commands import command_line

TABLE = "width,length,price\n" + "".join(f"{n},{n % 7},{3 * n + n % 5}\n" for n in range(60))


def commands(text: str) -> list[list[str]]:
    """The commands that a text ends its lines with."""
    lines = (line.partition("sweep ") for line in text.splitlines())
    return [shlex.split(words) for _, found, words in lines if found]


def test_in_an_empty_folder_it_names_the_default_study(sweep: Called) -> None:
    ended = sweep()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert commands(ended.stdout)[0] == ["run"]
    assert len(ended.stdout.splitlines()) < 12


def test_a_table_becomes_a_study_by_what_is_said(sweep: Called) -> None:
    Path("my houses.csv").write_text(TABLE)
    (init, *_) = commands(sweep().stdout)
    assert init == ["init", "my houses.csv", "--target", "price"]
    made = sweep(*init)
    assert made.returncode == 0
    (run,) = commands(made.stdout)
    assert run == ["run", "studies/my houses.toml"]
    assert commands(sweep().stdout)[:2] == [["check", run[1]], run]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.txt"])
def test_files_that_are_no_tables_do_no_harm(sweep: Called, name: str) -> None:
    Path(name).write_bytes(b"\xff\xfe\x00")
    assert sweep().returncode == 0


def test_a_study_that_has_been_run(sweep: Called) -> None:
    folder = Path("studies/mine")
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text("")
    assert commands(sweep().stdout)[:2] == [["report", str(folder)], ["run", str(folder)]]
    (folder / "predictions.csv").touch()
    assert commands(sweep().stdout)[2] == ["predict", str(folder), "new.csv"]


def test_what_schedules_say_is_next(sweep: Called) -> None:
    (large,) = commands(sweep("schedules").stdout)[-1:]
    drawn = sweep(*large)
    assert drawn.returncode == 0
    assert commands(drawn.stdout)[-1] == ["run", "--scheduler", "cosine"]


@pytest.mark.slow
def test_check_says_how_to_run_what_was_checked(sweep: Called) -> None:
    Path("my houses.csv").write_text(TABLE)
    given = ["--data", "my houses.csv", "--target", "price", "--epochs", "2", "--workers", "1"]
    checked = sweep("--debug", "check", *given)
    assert commands(checked.stdout)[-1] == ["run", *given]
    small = ["--trials", "2", "--no-confirm", "--quiet"]
    assert sweep("run", *given, *small).returncode == 0
    assert sweep("check", *given, "--json").stdout.endswith("}\n")
    again = sweep("check", *given, *small[:3])  # looks into the storage that there is now
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_command_line_is_taken_apart_as_it_was_put_together() -> None:
    words = ["sweep", "run", "it's mine", "$HOME", 'a "b"']
    assert shlex.split(command_line(*words)) == words
