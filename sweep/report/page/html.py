"""The report as one HTML file that works offline."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
import optuna
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sweep.base.errors import SweepError
from sweep.base.files import write_whole
from sweep.base.languages.sentences import CHINESE, ENGLISH, _, current, language, translation
from sweep.base.text import without_controls
from sweep.base.wording import aligned, counted, duration, number, percent
from sweep.confirm.best_schedule import BestSchedule
from sweep.report.figures.all import pictures
from sweep.report.figures.picture import Picture
from sweep.report.figures.space import colour_range
from sweep.report.findings import MOST_POINTS, Findings, gather
from sweep.report.palette import GOOD_TO_BAD
from sweep.report.terminal.gallery import torch_call
from sweep.report.writers import as_sentence, to_markdown
from sweep.search.storage.urls import to_pass_on
from sweep.search.trials import Trial
from sweep.study.results_folder import REPORT
from sweep.study.settings import StudyConfig
from sweep.study.space import rate_in_words

_PARTS = files("sweep.report") / "page"

HTML_NAMES = {ENGLISH: "en", CHINESE: "zh-CN"}
"""What a page calls its language."""


def write_html(study: optuna.Study, config: StudyConfig, folder: Path) -> Path:
    """Write `report.html` into a results folder.

    Args:
        study: Its trials; it may be running, empty, or without a completed trial.
        config: Its settings.
        folder: Its results.

    Returns:
        The file's path.
    """
    path = folder / REPORT
    write_whole(path, to_html(gather(study, config, folder)))
    return path


def to_html(findings: Findings, drawn: Mapping[str, Picture] | None = None) -> str:
    """The page: everything it needs is in it, and it asks no other host for anything."""
    summary, drawn = findings.summary, drawn or pictures(findings)
    best = summary.best
    with language(ENGLISH):  # as in `best_schedule.py`
        code = _code(findings)
    sections = defaultdict(list)
    for picture in drawn.values():
        sections[picture.section].append(picture)
    return _template().render(
        summary=summary,
        best=best,
        sections=sections,
        lowest=summary.top[0].value if summary.top else None,
        scale=colour_range(findings),
        colours=[colour for _, colour in GOOD_TO_BAD],
        thinned=MOST_POINTS if len(findings.trials) > MOST_POINTS else 0,
        code=code,
        markdown=to_markdown(summary),
        torch=torch_call(best.torch) if best and best.torch else "",
        language=HTML_NAMES[current()],
        words=_json(_words()),
        settings=_settings(findings.config),
        objective=findings.config.objective,
        when=_when(findings.reader.trials),
        style=Markup(_part("report.css")),
        script=Markup(_part("report.js")),
        plotly=Markup(_plotly()),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: without_controls(value) if type(value) is str else value,
    )
    environment.filters |= {
        "number": number,
        "aligned": aligned,
        "percent": percent,
        "duration": duration,
        "counted": counted,
        "sentence": as_sentence,
        "figure_json": _figure_json,
    }
    environment.globals |= {"rate_in_words": rate_in_words, "_": _said, "plural": _plural}
    return environment.get_template("template.html")


def _said(template: str, **values: object) -> Markup:
    """As `_`, of a template that may have markup, with values that have none."""
    return Markup(translation(template) or template).format(**_bare(values))


def _plural(count: int, one: str, several: str, **values: object) -> Markup:
    """As `plural`, likewise."""
    template = translation(several) or (one if count == 1 else several)
    return Markup(template).format(count=count, **_bare(values))


def _bare(values: Mapping[str, object]) -> dict[str, object]:
    """Values without what a terminal would obey."""
    return {n: without_controls(v) if type(v) is str else v for n, v in values.items()}


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Plotly's own script; nothing in it may end the element that holds it."""
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def script_safe(text: str) -> str:
    """JSON that can stand in a script element: without `<`, `>`, `&` and line separators."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _words() -> dict[str, str]:
    """What the page's script, and Plotly's in it, says: by its English."""
    return {
        "Copied": _("Copied"),
        "Select it and press Ctrl+C": _("Select it and press Ctrl+C"),
        "Zoom": _("Zoom"),
        "Pan": _("Pan"),
        "Reset axes": _("Reset axes"),
        "Download plot as a PNG": _("Download plot as a PNG"),
        "Double-click to zoom back out": _("Double-click to zoom back out"),
    }


def _figure_json(picture: Picture) -> Markup:
    return _json(json.loads(picture.figure.to_json()))


def _json(value: object) -> Markup:
    """What a script element may hold."""
    return Markup(script_safe(json.dumps(value, separators=(",", ":"))))


def _code(findings: Findings) -> str:
    """The best schedule as Python that needs torch alone; empty if there is none."""
    best, folder = findings.summary.best, findings.summary.folder
    if best is None:
        return ""
    written, _invalid = BestSchedule.if_valid(folder)
    if written and written.trial == best.number:
        return written.to_code()
    try:
        return best.schedule.to_code()
    except SweepError:
        return ""


def _settings(config: StudyConfig) -> str:
    """The study file, as far as it may be passed on."""
    return to_pass_on(config).to_toml()


def _when(trials: Sequence[Trial]) -> str:
    """The days that trials were trained on: `2026-05-01` or `2026-05-01 to 2026-05-03`."""
    times = [moment for trial in trials for moment in (trial.started, trial.finished) if moment]
    if not times:
        return ""
    first, last = min(times).date(), max(times).date()
    return f"{first}" if first == last else _("{low} to {high}", low=first, high=last)
