"""What `--storage` means, and what of it may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from optuna.exceptions import StorageInternalError

from sweep.base.errors import StorageError
from sweep.study.settings import StudyConfig

JOURNAL = "study.journal"


def storage_url(storage: str | None, folder: Path) -> str:
    """The storage that a setting means: an Optuna URL, or the path of a journal.

    Args:
        storage: A URL, a path (`.db` and `.sqlite3` are SQLite, everything else a journal), or
            None for a journal in the results folder.
        folder: The results folder.
    """
    if storage is None:
        return str(folder / JOURNAL)
    relative = re.fullmatch(r"sqlite:///([^/:?][^?]*)(\?.*)?", storage)
    if relative:
        return f"sqlite:///{Path(relative[1]).absolute()}{relative[2] or ''}"
    if is_shared(storage):
        return storage
    path = Path(storage).absolute()
    return f"sqlite:///{path}" if path.suffix in (".db", ".sqlite", ".sqlite3") else str(path)


def is_shared(url: str) -> bool:
    """Whether several runs may work on a storage at once: on a database, but not on a journal."""
    return "://" in url


def without_password(shown: str) -> str:
    """A URL, or a text with a URL in it, that may be shown and saved.

    SQLAlchemy takes everything up to the first `@` as the password, `/` and blanks included. What
    lies between further `@`s of an unescaped password goes too, and so does a port that is none.
    """
    shown = re.sub(r"(://[^:/?#@\s]*):[^@]*@(?:[^/?#\s]*@)?", r"\1@", shown)
    shown = re.sub(r"(://(?!\[)[^:/?#@\s]*):(?!\d*(?:\W|$))[^/?#@\s]*", r"\1", shown)
    parameter = r"(?i)([?&])(?:\w*password|passwd|pwd)=[^&\s]*(&?)"
    return re.sub(parameter, lambda found: found[1] if found[2] else "", shown)


def to_pass_on(config: StudyConfig) -> StudyConfig:
    """The settings as they may be saved and passed on: no URL has a password."""
    places = {name: without_password(place) for name, place in config.track.places.items()}
    storage = config.storage and without_password(config.storage)
    return config.model_copy(
        update={"storage": storage, "track": config.track.model_copy(update=places)}
    )


def cannot_be_opened(problem: Exception, url: str) -> StorageError:
    """What a user is told of a storage's own error; no password is in the text."""
    reason = reason_of(problem, url)
    return StorageError(f"{without_password(url)}: the storage cannot be opened: {reason}")


def reason_of(problem: Exception, url: str) -> str:
    """The first line of a problem's text, without the password of the URL that it is about."""
    if isinstance(problem, StorageInternalError) and isinstance(problem.__cause__, Exception):
        problem = problem.__cause__  # what the database said, not what Optuna guesses
    lines = without_password(str(problem)).strip().splitlines() or [type(problem).__name__]
    reason = lines[0]
    user, at, _ = url.partition("://")[2].partition("@")
    password = user.partition(":")[2]
    if not at:  # a host and a port, or a password and no host
        password = re.split("[/?#]", password)[0]
        password = "" if password.isdigit() else password
    for secret in {password, unquote(password)} - {""}:
        reason = reason.replace(secret, "***")
    return reason
