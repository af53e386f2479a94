"""What is written of a study when it is begun."""

from __future__ import annotations

import pytest
from made_studies import new_study

from sweep.search.continuation import begin, begun
from sweep.search.storage.opening import SETTINGS


@pytest.mark.parametrize("written", [0, 1])
def test_a_study_that_broke_off_as_it_was_begun_is_begun_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    study = new_study()
    write, left = study.set_user_attr, [None] * written

    def break_off(name: str, value: object) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        write(name, value)

    monkeypatch.setattr(study, "set_user_attr", break_off)
    with pytest.raises(KeyboardInterrupt):
        begin(study, {"epochs": 4})
    monkeypatch.undo()
    begin(study, {"epochs": 4})
    assert begun(study) and study.user_attrs[SETTINGS] == {"epochs": 4}


def test_a_study_that_goes_on_is_not_begun_again() -> None:
    study = new_study()
    begin(study, {"epochs": 4})
    first = begun(study)
    begin(study, {"epochs": 5})
    assert begun(study) == first and study.user_attrs[SETTINGS] == {"epochs": 4}
