"""What the site has beside the pages of this folder, and where their links lead in it.

MkDocs calls the functions named `on_...`, as `mkdocs.yml` says. Pages are taken from where they
stand: READMEs, CONTRIBUTING.md and CHANGELOG.md from the top, scripts from their folders, the
reference from docstrings and from the command line's help. No text is kept twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import sweep
from sweep.base import errors
from sweep.cli.entry import app

ROOT = Path(__file__).resolve().parent.parent
MOVED = {
    "README.md": "index.md",
    "README.zh-CN.md": "index.zh-CN.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/index.md": "all-pages.md",
}
"""Pages of the repository by their place in the site, where that is not its place in docs/."""

PUBLIC = {
    "Studies": ("run_study", "load_study", "StudyResult"),
    "Schedules": ("Schedule",),
    "Predictions": ("load_predictor", "Predictor"),
    "Your own training code": ("current_trial", "CurrentTrial"),
    "How a run goes": ("Listener", "Progress"),
    "Errors": ("SweepError", "InterruptedSweep"),
    "Gradients": ("gradient_graph", "tree_lines"),
    "Data": ("behaviour_log",),
}
"""The public names in the order of the reference."""

GIVEN = {
    "How a run goes": ("search.status.Status", "search.trials.Trial", "study.locations.Location"),
    "Gradients": ("training.examine.gradient_graph.Node",),
}
"""What public names hand over, which scripts read but do not import."""

READ_BY_SCRIPTS = """\
    options:
      show_root_full_path: false
      separate_signature: false
      show_signature: false
      members: false
"""

SHOWN = {
    "CurrentTrial": "merge_init_into_class: false",  # `current_trial` makes it
    "StudyResult": "merge_init_into_class: false",  # `run_study` and `load_study` do
    "Progress": "members: false",  # `Listener` has them
}
"""Options of mkdocstrings for a public name."""

LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```$|`[^`]*`)"  # is left alone
    r"|\]\((?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)",
    re.MULTILINE | re.DOTALL,
)

FLOWCHART = re.compile(r"^```mermaid\nflowchart TD\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not stand in docs/."""
    for page in files.documentation_pages():
        if f"docs/{page.src_uri}" in MOVED:
            files.remove(page)
    sources = [f"docs/{page.src_uri}" for page in files.documentation_pages()]
    for source, place in MOVED.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    made = {
        "reference/commands.md": commands_page(),
        "reference/python.md": python_page(),
        "reference/integrations.md": integrations_page(),
        **{
            f"{place_of_folder(folder)}.md": code_page(folder)
            for folder in folders([*sources, *MOVED])
        },
    }
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let a page's links lead to the site's pages, and draw its flowcharts."""
    if page.file.abs_src_path is None:  # is made here, for the site
        return markdown
    source = Path(page.file.abs_src_path).resolve().relative_to(ROOT).as_posix()
    here = os.path.dirname(page.file.src_uri)

    def in_site(link: re.Match[str]) -> str:
        if link["code"]:
            return link[0]
        place, of_file = place_of(leads_to(source, link["path"]))
        return f"]({os.path.relpath(place, here)}{link['anchor'] or of_file})"

    return FLOWCHART.sub(lambda chart: boxes(chart[1]), LINK.sub(in_site, markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Say of a Chinese page that it is one, for its characters' forms and for screen readers."""
    if page.file.src_uri.endswith(".zh-CN.md"):
        return output.replace('<html lang="en"', '<html lang="zh-CN"', 1)
    return output


def leads_to(source: str, path: str) -> str:
    """The file of the repository that a page's link leads to."""
    return os.path.normpath(os.path.join(os.path.dirname(source), path))


def place_of(source: str) -> tuple[str, str]:
    """Where the site has a file of the repository: a page or a picture, and an anchor or ""."""
    if source in MOVED:
        return MOVED[source], ""
    folder, name = os.path.split(source)
    if folder in ("", "docs"):
        return name, ""
    return f"{place_of_folder(folder)}.md", f"#{anchor(name)}"


def place_of_folder(folder: str) -> str:
    """The place of a folder's page, without its ending; MkDocs leaves out what has a dot before."""
    return f"code/{folder.lstrip('.')}"


def anchor(name: str) -> str:
    """The anchor of a heading that is a file's name."""
    return name.lower().replace(".", "")


def boxes(chart: str) -> str:
    """A flowchart as boxes, each naming those below that its arrows lead to.

    Mermaid, which draws it on GitHub, is 3 MB of script from the network.
    """
    arrows = re.findall(r"(\w+) --> (\w+)", chart)
    drawn = []
    for name, label in re.findall(r'(\w+)\["(.*?)"\]', chart):
        below = " ".join(f"↓ {there}" for here, there in arrows if here == name)
        drawn.append(f"<div>{label}</div><p>{below}</p>")
    return f'<div class="flowchart">{"".join(drawn)}</div>'


def folders(sources: Iterable[str]) -> Iterable[str]:
    """Folders with code that the site shows: of examples, and those that pages lead into."""
    found = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/*/*.py")}
    for source in sources:
        for link in LINK.finditer((ROOT / source).read_text(encoding="utf-8")):
            if link["path"] and place_of(leads_to(source, link["path"]))[1]:
                found.add(os.path.dirname(leads_to(source, link["path"])))
    return sorted(found)


def code_page(folder: str) -> str:
    """A page with the files of a folder."""
    parts = [f"# `{folder}/`"]
    for path in sorted((ROOT / folder).iterdir()):
        if path.suffix in (".py", ".toml", ".yml"):
            text = path.read_text(encoding="utf-8").strip()
            parts += [f"## {path.name}", f"```{path.suffix[1:]}\n{text}\n```"]
    return "\n\n".join(parts)


def python_page() -> str:
    """The reference of `sweep.__all__`."""
    names = [name for group in PUBLIC.values() for name in group]
    assert {*names, "__version__"} == {*sweep.__all__}, "PUBLIC has all public names, and no others"
    parts = [
        "# Python",
        "`from sweep import ...`: these names are public; modules within `sweep` may move. "
        "[From a script or a notebook](../library.md) shows them at work.",
    ]
    for title, group in PUBLIC.items():
        parts.append(f"## {title}")
        if title == "Errors":
            tree = str(errors.__doc__).partition("\n\n")[2]
            parts.append(
                f"What is raised on purpose is a `SweepError`:\n\n```text\n{tree.strip()}\n```"
            )
        for name in group:
            options = f"\n    options:\n      {SHOWN[name]}" if name in SHOWN else ""
            parts.append(f"::: sweep.{name}{options}")
        for name in GIVEN.get(title, ()):
            parts.append(f"::: sweep.{name}\n{READ_BY_SCRIPTS}")
    return "\n\n".join(parts)


def integrations_page() -> str:
    """The reference of `sweep.integrations`: of each framework, what scripts import."""
    parts = [
        "# Frameworks",
        "[What changes in a script](../own-code.md#frameworks-in-two-or-three-lines) of each.",
    ]
    for path in sorted((ROOT / "sweep" / "integrations").glob("*.py")):
        if path.stem not in ("__init__", "evaluations", "plateau"):  # for the others' use
            parts += [
                f"## `{path.stem}`",
                f"::: sweep.integrations.{path.stem}\n{CALLED_BY_SCRIPTS}",
            ]
    return "\n\n".join(parts)


CALLED_BY_SCRIPTS = """\
    options:
      show_root_heading: false
      show_root_toc_entry: false
      filters: ["!^_", "!^on_", "!^setup$", "!^initialize$"]
"""
"""The methods that a framework calls say nothing to whom writes a script."""


def commands_page() -> str:
    """The reference of the command line: what `--help` says of each command."""
    main: Any = typer.main.get_command(app)
    context = typer.Context(main, info_name="sweep")
    parts = ["# Commands", "What `sweep COMMAND --help` says."]
    for name, command in main.commands.items():
        text, examples = re.split(r"\n\nExamples?:\n\n", command.help)
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        parts += [f"## `sweep {name}`", as_markdown(text)]
        parts.append("\n".join(["```console", *lines, "```"]))
        parts += panels(command.get_params(context), context)
    return "\n\n".join(parts)


def panels(params: Iterable[Any], context: Any) -> Iterator[str]:
    """A command's arguments and options: a table for each group of the help."""
    groups: dict[str, list[str]] = {}
    for param in params:
        if getattr(param, "hidden", False) or param.name == "help":
            continue
        is_argument = param.param_type_name == "argument"
        panel = param.rich_help_panel or ("Arguments" if is_argument else "Options")
        shown, text = param.get_help_record(context)
        shown = param.metavar if is_argument else shown
        row = f"| `{shown}` | {as_markdown(' '.join(text.split()))} |"
        groups.setdefault(panel, []).append(row)
    for panel, rows in groups.items():
        yield "\n".join([f"| {panel} | |", "|---|---|", *rows])


def as_markdown(text: str) -> str:
    """A plain text without what Markdown would take for its own; its code stays code."""
    return re.sub(r"(`[^`]*`)|([<|*\[\\])", lambda it: it[1] or f"&#{ord(it[2])};", text)
