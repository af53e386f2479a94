"""Files of the coordinator's machine, as a machine of the cluster has them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from sweep.base.files import write_whole
from sweep.training.cluster.messages import Appended

_SHARE = 0.1
"""The greatest share of the time that is spent on sending what workers write, but for what must be
there when a trial ends."""


class Mirror:
    """A folder that stands for the coordinator's file system.

    What the coordinator calls `/a/b` is `<root>/a/b` here. What is written in the folders that are
    watched goes back with the next answer.

    Args:
        watched: Those folders, as the coordinator calls them.
        logs: Files that are only appended to, as they are called here, and by the coordinator.
    """

    def __init__(self, watched: Iterable[Path], logs: Mapping[Path, Path]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sweep-")).resolve()
        self._watched = tuple(watched)
        self._logs = {self.here(path): name for path, name in logs.items()}
        self._sizes = dict.fromkeys(self._logs, 0)
        self._known: dict[Path, tuple[int, int]] = {}
        self._next = time.monotonic()

    def here(self, path: Path) -> Path:
        """Where a file of the coordinator's is on this machine."""
        return self.root / path.relative_to(path.anchor)

    def there(self, path: Path) -> Path:
        """What the coordinator calls a file of this machine."""
        return Path("/") / path.relative_to(self.root)

    def told(self, text: str) -> str:
        """A text with the coordinator's names for what it names of this machine's."""
        return text.replace(str(self.root), "")

    def put(self, files: Mapping[Path, bytes]) -> None:
        """Write files that the coordinator has."""
        for path, content in files.items():
            place = self.here(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, content)
            self._known[place] = _state(place)

    def changes(
        self, *, at_once: bool, passing: Iterable[Path] = ()
    ) -> dict[Path, bytes | Appended | None]:
        """What has been written since the last time, by the coordinator's names.

        Args:
            at_once: Whether all of it must be told now.
            passing: Files and folders of which is only told that they are gone.
        """
        started = time.monotonic()
        if not at_once and started < self._next:
            return {}
        found: dict[Path, bytes | Appended | None] = {}
        skipped = {self.here(path) for path in passing}
        there = set()
        for path in self._files():
            there.add(path)
            if path in self._logs or skipped.intersection((path, *path.parents)):
                continue
            try:
                state = _state(path)
                if self._known.get(path) != state:
                    found[self.there(path)] = path.read_bytes()
                    self._known[path] = state
            except OSError:  # it has gone meanwhile
                there.discard(path)
        watched = [*map(self.here, self._watched)]
        for path in [*self._known]:
            if path not in there and any(path.is_relative_to(folder) for folder in watched):
                del self._known[path]
                found[self.there(path)] = None
        for path, name in self._logs.items():
            if added := self._added(path):
                found[name] = Appended(added)
        ended = time.monotonic()
        self._next = ended + (ended - started) / _SHARE
        return found

    def written(self, path: Path) -> bytes | None:
        """A file that the coordinator has asked for; None if it could not be written."""
        try:
            return self.here(path).read_bytes()
        except OSError:
            return None

    def forget(self, paths: Iterable[Path]) -> None:
        """Remove files and folders here; the coordinator keeps its own."""
        for path in map(self.here, paths):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            for known in [each for each in self._known if each.is_relative_to(path)]:
                del self._known[known]

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _files(self) -> Iterable[Path]:
        for watched in self._watched:
            for folder, _, names in os.walk(self.here(watched)):
                yield from (Path(folder, name) for name in names)

    def _added(self, log: Path) -> bytes:
        try:
            with open(log, "rb") as file:
                file.seek(self._sizes[log])
                added = file.read()
        except OSError:
            return b""
        self._sizes[log] += len(added)
        return added


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
