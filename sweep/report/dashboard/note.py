"""Notes on a study and its trials, as optuna-dashboard shows them.

They are attributes of the study, so that every storage keeps them.
"""

from __future__ import annotations

import re
import zlib

import optuna

from sweep.search.storage.optuna_private import storage_of

_SEAL = re.compile(r"\n\n\[sweep\]: # \(([0-9a-f]{8})\)\Z")
"""A link's definition, which Markdown does not show: the checksum of what stands before it."""


def write_note(study: optuna.Study, text: str, trial_id: int | None = None) -> bool:
    """Write a note, unless someone has edited the one that is there.

    Args:
        study: Whose it is, or whose trial's.
        text: Markdown; empty to take our own note away.
        trial_id: The trial, in the storage's own counting; None for the study.

    Returns:
        Whether it was written.
    """
    from optuna_dashboard import get_note, save_note  # it loads all that its server needs

    place = study if trial_id is None else _trial(study, trial_id)
    before = get_note(place)
    text = text.rstrip()
    body = f"{text}\n\n[sweep]: # ({_checksum(text)})" if text else ""
    if body == before or not (before == "" or is_ours(before)):
        return False
    save_note(place, body)
    return True


def is_ours(note: str) -> bool:
    """Whether a note stands as `write_note` left it."""
    seal = _SEAL.search(note)
    return seal is not None and seal[1] == _checksum(note[: seal.start()])


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _trial(study: optuna.Study, trial_id: int) -> optuna.Trial:
    """A trial that has ended, to write a note on: the study's own sampler must not hear of it."""
    bystander = optuna.load_study(
        study_name=study.study_name,
        storage=storage_of(study),
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
    )
    return optuna.Trial(bystander, trial_id)
