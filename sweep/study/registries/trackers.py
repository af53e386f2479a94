"""The trackers: where people look at their runs, and where a study's trials can appear, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from sweep.study.registries.entry import by_name


@dataclass(frozen=True)
class Tracker:
    """A tracker.

    Args:
        name: What a study file calls it.
        title: What its makers call it.
        place: What says where its runs are kept, for help: `DIR`.
        help: The same as half a sentence, for the study file's reference.
        view: The command that shows what is there, with `{place}`; not needed for a server.
        kind: `module:class` of a `report.trackers.contract.Connection`, which is constructed with
            the place and the study.
        package: The module that must be installed for it; empty if none.
        distribution: What that is called in a package index.
        install: How it is installed.
        makes_tables: Whether it begins a database by making tables, which takes a while.
        environment: Variables of the process that sends to it, unless they are set already.
    """

    name: str
    title: str
    place: str
    help: str
    view: str
    kind: str
    package: str = ""
    distribution: str = ""
    install: str = ""
    makes_tables: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """That its library is not installed, and how it is; empty if it is there."""
        if not self.package or find_spec(self.package):
            return ""
        return f"{self.title} is not installed: {self.install}"


TRACKERS = by_name(
    Tracker(
        "tensorboard",
        "TensorBoard",
        "DIR",
        "a folder for `tensorboard --logdir`",
        "tensorboard --logdir {place}",
        "sweep.report.trackers.tensorboard:TensorBoard",
        package="tensorboard",
        distribution="tensorboard",
        install="pip install 'sweep-lr[tensorboard]'",
    ),
    Tracker(
        "mlflow",
        "MLflow",
        "URI",
        "a tracking URI, `http://host:5000` or `sqlite:///mlflow.db`",
        "mlflow ui --backend-store-uri {place}",
        "sweep.report.trackers.mlflow:MLflow",
        package="mlflow",
        distribution="mlflow-skinny",
        install="pip install 'sweep-lr[mlflow]'",
        makes_tables=True,
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "MLFLOW_LOGGING_LEVEL": "ERROR",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # we try again ourselves
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        },
    ),
    Tracker(
        "wandb",
        "Weights & Biases",
        "DIR",
        "a folder of offline runs for `wandb sync`",
        "wandb sync {place}/wandb/offline-run-*",
        "sweep.report.trackers.wandb:WandB",
        package="wandb",
        distribution="wandb",
        install="pip install 'sweep-lr[wandb]'",
        environment={"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"},
    ),
)
