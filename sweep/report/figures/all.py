"""All figures of a report, in the order that it shows them."""

from __future__ import annotations

from sweep.report.figures import confirmation, confusion, course, held_out, space, trial
from sweep.report.figures.picture import Picture
from sweep.report.findings import Findings

FIGURES = (
    *confirmation.FIGURES,
    *course.FIGURES,
    *space.FIGURES,
    *trial.FIGURES,
    *held_out.FIGURES,
    *confusion.FIGURES,
)


def pictures(findings: Findings) -> dict[str, Picture]:
    """The figures that a study has enough trials for, by their names."""
    drawn = [picture for figure in FIGURES for picture in figure.pictures(findings)]
    return {picture.name: picture for picture in drawn}
