"""All figures of a report, in the order that it shows them."""

from __future__ import annotations

from sweep.report.figures.confirmation import confirmation_figures
from sweep.report.figures.course import learning_curves, rate_figure
from sweep.report.figures.held_out import prediction_figure, residual_figure
from sweep.report.figures.picture import Picture
from sweep.report.figures.space import importance_figure, lr_decay_maps, range_figures
from sweep.report.figures.trial import epoch_figure, history_figure, outcome_figure
from sweep.report.findings import Findings


def pictures(findings: Findings) -> dict[str, Picture]:
    """The figures that a study has enough trials for, by their names."""
    drawn = [
        *confirmation_figures(findings),
        rate_figure(findings),
        learning_curves(findings),
        *lr_decay_maps(findings),
        importance_figure(findings),
        *range_figures(findings),
        outcome_figure(findings),
        epoch_figure(findings),
        history_figure(findings),
        prediction_figure(findings),
        residual_figure(findings),
    ]
    return {picture.name: picture for picture in drawn if picture}
