"""All figures of a report, in the order that it shows them."""

from __future__ import annotations

from sweep.report.confirmation_figures import confirmation_figures
from sweep.report.course_figures import learning_curves, rate_figure
from sweep.report.findings import Findings
from sweep.report.held_out_figures import prediction_figure, residual_figure
from sweep.report.picture import Picture
from sweep.report.space_figures import importance_figure, lr_decay_maps, range_figures
from sweep.report.trial_figures import epoch_figure, history_figure, outcome_figure


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
