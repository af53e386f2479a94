"""The section of a study file that says where its workers are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from sweep.study.fields.values import DURATION, seconds
from sweep.study.sections import Section


class ClusterConfig(Section):
    """Where workers are, and what each of them has there; one text is its `address`.

    Args:
        address: `local` is this machine, without Ray. `ray` is the Ray cluster that this machine
            belongs to or RAY_ADDRESS names; where there is none, Ray is started here. `auto` is the
            same, but never starts one. `ray://<host>:10001` is a cluster elsewhere.
        workers: How many there are; by default as many as the cluster has room for, more when
            machines join and fewer when they leave.
        cpus_per_worker: CPUs that each of them has to itself.
        gpus_per_worker: GPUs that each of them has to itself; 0.5 lets two share one.
        files: What your own code needs beside the modules that it imports: files, folders and
            patterns (`configs/*.yaml`), from the study file's folder on.
        patience: Seconds that a study waits for a first worker, and for another one when all have
            gone; with `deterministic`, for any that it lacks.
    """

    address: str = Field("local", pattern=r"^(local|ray|auto|(ray://)?[^/\s]+:\d+)$")
    workers: int | None = Field(None, ge=1, le=10_000)
    cpus_per_worker: float = Field(1.0, gt=0)
    gpus_per_worker: float = Field(0.0, ge=0)
    files: list[str] = Field([])
    patience: Annotated[float, BeforeValidator(seconds), Field(gt=0), WithJsonSchema(DURATION)] = (
        60.0
    )

    @model_validator(mode="before")
    @classmethod
    def _read_address(cls, values: Any) -> Any:
        return {"address": values} if isinstance(values, str) else values

    @property
    def is_local(self) -> bool:
        """Whether workers are processes of this machine."""
        return self.address == "local"
