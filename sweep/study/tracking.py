"""The section of a study file that says which trackers see its trials."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, create_model

from sweep.study.registries.trackers import TRACKERS
from sweep.study.sections import Section

_Track = create_model(
    "_Track",
    __base__=Section,
    **{  # type: ignore[call-overload]
        tracker.name: (
            Annotated[str, Field(min_length=1)] | None,
            Field(None, description=f"{tracker.title}: {tracker.help}."),
        )
        for tracker in TRACKERS.values()
    },
)


class TrackConfig(_Track):
    """Trackers that are sent each trial as it ends, and where each of them keeps its runs.

    A folder is looked for from the working folder on.
    """

    @property
    def places(self) -> dict[str, str]:
        """The places by the trackers' names."""
        return {name: place for name, place in vars(self).items() if place is not None}
