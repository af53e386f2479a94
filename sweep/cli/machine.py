"""What a machine offers to `sweep`: found out by asking it, not by what should be there."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sweep import __version__
from sweep.base.errors import TrainingError
from sweep.base.wording import counted
from sweep.study.registries.trackers import TRACKERS

_PROBE = "int sweep_doctor(void) { return 42; }\n"
_EXTRAS = (
    ("Excel files", "openpyxl", "pip install 'sweep-lr[excel]'"),
    ("PostgreSQL", "psycopg", "pip install 'sweep-lr[postgresql]'"),
    ("Ray clusters", "ray", "pip install 'sweep-lr[ray]'"),
    *((each.title, each.distribution, each.install) for each in TRACKERS.values()),
)
_FRAMEWORKS = ("accelerate", "lightning", "pytorch-ignite", "skorch", "timm", "transformers")
_LIBRARIES = ("optuna", "optuna-dashboard", "numpy", "pandas", "scikit-learn", "typer")


@dataclass(frozen=True)
class Fact:
    """One thing about a machine.

    Args:
        name: What it is about.
        found: What is there.
        use: What `sweep` makes of it; empty where that is plain.
        remedy: What to install or to set for more; empty where there is no need.
    """

    name: str
    found: str
    use: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Machine:
    """All facts, in the order in which they are told."""

    facts: tuple[Fact, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, by name."""
        return {
            fact.name: {k: v for k, v in asdict(fact).items() if v and k != "name"}
            for fact in self.facts
        }


def examine_machine() -> Machine:
    """Ask the machine; nothing is left but a compiled program of one line in the cache."""
    return Machine(
        (
            *(_software(), _system(), _cores(), _memory(), _workers(), _temporary()),
            *(_compiler(), _cache(), _torch(), *_gpus(), _libraries()),
            *(_extra(*each) for each in _EXTRAS),
            *(_frameworks(), _terminal()),
        )
    )


def _software() -> Fact:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return Fact("sweep", f"{__version__}, {python}")


def _system() -> Fact:
    of = platform.uname()  # `platform.platform` starts a process for the processor's name
    return Fact("system", f"{of.system} {of.release}, {of.machine}, {of.version}")


def _cores() -> Fact:
    from sweep.training.workers.process_pool import default_workers

    usable, all_cores = default_workers(), os.cpu_count() or 1
    found = counted(usable, "core") + (f" of {all_cores}" if usable != all_cores else "")
    return Fact("cores", found, f"{counted(usable, 'worker')} unless --workers says how many")


def _memory() -> Fact:
    import psutil

    memory = psutil.virtual_memory()
    return Fact("memory", f"{_gib(memory.total)}, {_gib(memory.available)} of it available")


def _workers() -> Fact:
    from sweep.training.workers.process_pool import START_METHOD

    use = "" if START_METHOD == "forkserver" else "each worker imports torch itself, at its start"
    return Fact("worker processes", START_METHOD, use)


def _temporary() -> Fact:
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile():
            pass
    except OSError as problem:
        text = f"cannot be written to: {problem.strerror}"
        return Fact("temporary files", f"{_shown(folder)} {text}", remedy="set TMPDIR to another")
    return Fact("temporary files", f"{_shown(folder)}, {_gib(shutil.disk_usage(folder).free)} free")


def _compiler() -> Fact:
    """Whether a program is compiled, loaded and run."""
    from sweep.training.lanes.native.compiler import library

    try:
        program = library(_PROBE)
        works = program.functions.sweep_doctor() == 42
    except (TrainingError, AttributeError) as problem:
        return Fact(
            "C compiler",
            str(problem).replace(str(Path.home()), "~"),
            "many trials at once by torch's operations, which is slower on a CPU",
            "gcc or clang (Debian: apt install gcc; macOS: xcode-select --install)",
        )
    return Fact(
        "C compiler",
        f"{_named(program.compiler)}: {'works' if works else 'its programs do not work'}",
        "many trials of a chain of layers are one compiled program, on a CPU",
    )


def _named(compiler: str) -> str:
    """A compiler as it names itself: `gcc (Debian 12.2.0-14) 12.2.0`."""
    try:
        done = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Path(compiler).name
    return next(iter(done.stdout.splitlines()), "") or Path(compiler).name


def _cache() -> Fact:
    from sweep.training.lanes.native.program_cache import made_cache_folder

    try:
        folder, mistrusted = made_cache_folder()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as problem:
        remedy = "set XDG_CACHE_HOME to a folder that can be written to"
        return Fact("cache of programs", f"cannot be written to: {_told(problem)}", "", remedy)
    if mistrusted:
        found = mistrusted.replace(str(folder), _shown(folder))
        return Fact("cache of programs", found, "not used: compiled anew in each run")
    return Fact("cache of programs", f"{_shown(folder)}, can be written to")


def _torch() -> Fact:
    try:
        import torch
    except (ImportError, OSError) as problem:
        found = f"cannot be imported: {problem}".replace(str(Path.home()), "~")
        return Fact(
            "torch", found, "nothing can be trained", "torch, anew (pytorch.org, Get started)"
        )
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    if getattr(torch.version, "hip", None):
        build = f"ROCm {torch.version.hip}"
    return Fact("torch", f"{torch.__version__}, a {build} build")


def _gpus() -> Iterator[Fact]:
    try:
        import torch
    except (ImportError, OSError):
        return
    from sweep.training.own_command.gpus import visible_gpus

    count = torch.cuda.device_count()
    for index in range(count):
        card = torch.cuda.get_device_properties(index)
        use = "trains, unless --device cpu" if torch.cuda.is_available() else ""
        yield Fact(f"GPU {index}", f"{card.name}, {_gib(card.total_memory)}", use)
    listed = visible_gpus(os.environ)
    if not count and listed:
        yield Fact(
            "GPU",
            f"{counted(len(listed), 'GPU')} that torch does not see",
            "not used",
            "torch's CUDA build for the driver (pytorch.org, Get started)",
        )
    elif not count and torch.backends.mps.is_available():
        yield Fact("GPU", "Apple's", "not used: tables are trained on CPUs and CUDA's GPUs")
    elif not count:
        yield Fact("GPU", "none", "training is on the CPU")


def _libraries() -> Fact:
    found = ", ".join(f"{name} {_version(name) or 'missing'}" for name in _LIBRARIES)
    return Fact("libraries", found)


def _extra(purpose: str, package: str, remedy: str) -> Fact:
    found = _version(package)
    if found is None:
        return Fact(purpose, "not installed", remedy=remedy)
    return Fact(purpose, f"{package} {found}")


def _frameworks() -> Fact:
    found = [f"{name} {there}" for name in _FRAMEWORKS if (there := _version(name))]
    use = "their trainings become trials by two or three lines" if found else ""
    return Fact("frameworks", ", ".join(found) or "none", use)


def _terminal() -> Fact:
    encoding = getattr(sys.stdout, "encoding", None) or "unknown"
    return Fact("output", f"{encoding}, {'a terminal' if sys.stdout.isatty() else 'no terminal'}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _shown(folder: Path) -> str:
    """A path without the name of a user."""
    try:
        return str(Path("~") / folder.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(folder)


def _told(problem: OSError | RuntimeError) -> str:
    """What went wrong, without a path."""
    return (isinstance(problem, OSError) and problem.strerror) or "there is no home folder"
