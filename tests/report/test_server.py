"""The real optuna-dashboard on a real study, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from served import served
from support import sweep

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str) -> Any:
    """What the dashboard answers: JSON or a text."""
    body = fetched(port, path).decode()
    return json.loads(body) if path.startswith("/api/") else body


def fetched(port: int, path: str, secs: float = 120.0) -> bytes:
    """What the dashboard answers, once it is up."""
    deadline = time.monotonic() + secs
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def check_study(port: int, folder: Path) -> dict[str, Any]:
    """The study, its metric, its learning curves and its attributes are as in the tables."""
    (study,) = ask(port, "/api/studies")["study_summaries"]
    assert study["study_name"] == "diabetes"
    detail = ask(port, f"/api/studies/{study['study_id']}")
    assert detail["directions"] == ["minimize"]
    assert detail["objective_names"] == ["validation MSE"]
    results = pd.read_csv(folder / "results.csv", index_col="number")
    epochs = pd.read_csv(folder / "epochs.csv")
    assert len(detail["trials"]) == len(results)
    for trial in detail["trials"]:
        row = results.loc[trial["number"]]
        curve = epochs[epochs["number"] == trial["number"]]
        shown = {point["step"]: point["value"] for point in trial["intermediate_values"]}
        assert shown == dict(zip(curve["epoch"], curve["averaged_val_mse"], strict=True))
        attributes = {entry["key"]: entry["value"] for entry in trial["user_attrs"]}
        assert json.loads(attributes["best_epoch"]) == row["best_epoch"]
        assert json.loads(attributes["r2"]) == pytest.approx(row["val_r2"])
        assert json.loads(attributes["lr_final"]) == pytest.approx(row["lr_final"])
    assert "reaches validation MSE" in detail["note"]["body"]
    figures = {
        graph["id"]: json.loads(graph["graph_object"]) for graph in detail["plotly_graph_objects"]
    }
    assert {"rates", "learning-curves", "outcomes", "predictions"} <= set(figures)
    assert figures["rates"]["layout"]["title"]["text"] == "Learning rate over training"
    return dict(detail)


def answered(port: int, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def check_other_sites_are_refused(port: int) -> None:
    """A page whose name leads here, or that a browser has open beside it, reaches nothing."""
    here = f"127.0.0.1:{port}"
    for host in (f"evil.example:{port}", "evil.example", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        for path in ("/api/studies", "/dashboard/", "/artifacts/0/x"):
            assert answered(port, "GET", path, Host=host).status == 403
        assert answered(port, "DELETE", "/api/studies/0", Host=host).status == 403
    for origin in (f"http://evil.example:{port}", "null", "http://localhost", f"https://{here}"):
        assert answered(port, "GET", "/api/studies", Origin=origin).status == 403
        assert answered(port, "DELETE", "/api/studies/0", Origin=origin).status == 403
    for host in (here, f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        answer = answered(port, "GET", "/api/studies", Host=host, Origin=f"http://{here}")
        assert answer.status == 200
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    file = answered(port, "GET", "/artifacts/0/x")
    assert file.headers["Content-Security-Policy"] == "frame-ancestors 'none'; sandbox"


def test_optuna_dashboard_shows_a_journal(tiny_study: Path) -> None:
    port = free_port()
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    journal = str(tiny_study / "study.journal")
    with served(program, journal, "--port", str(port), cwd=tiny_study):
        check_study(port, tiny_study)


def test_sweep_dashboard_serves_until_it_is_interrupted(tiny_study: Path) -> None:
    command = (sys.executable, "-m", "sweep", "dashboard", str(tiny_study), "--port", "0")
    with served(*command, cwd=tiny_study) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("optuna-dashboard at http://127.0.0.1:")
        port = int(said.split(":")[2].split("/")[0])
        page = ask(port, "/dashboard/")
        assert "<title>Optuna Dashboard</title>" in page
        detail = check_study(port, tiny_study)
        stored = {entry["filename"]: entry["artifact_id"] for entry in detail["artifacts"]}
        assert set(stored) == {"results.csv", "best_schedule.py"}
        for name, artifact in stored.items():
            assert ask(port, f"/artifacts/0/{artifact}") == (tiny_study / name).read_text()
        for trial in detail["trials"]:
            number, images = trial["number"], trial["artifacts"]
            assert sorted(image["filename"] for image in images) == [
                f"learning-curve-{number}.png",
                f"rates-{number}.png",
            ]
            assert {image["mimetype"] for image in images} == {"image/png"}
            content = fetched(port, f"/artifacts/0/{number}/{images[0]['artifact_id']}")
            assert content.startswith(b"\x89PNG")
            assert "build_scheduler" in trial["note"]["body"]

        check_other_sites_are_refused(port)
        refused = sweep("dashboard", tiny_study, "--port", str(port), cwd=tiny_study)
        assert refused.returncode == 2
        assert refused.stderr == (
            f"error: --port {port}: Address already in use; give another port\n"
        )

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_nothing_is_written_while_the_study_is_run(tiny_study: Path) -> None:
    from sweep.report.dashboard.server import prepare
    from sweep.search.storage.locks import hold
    from sweep.search.storage.opening import load_study
    from sweep.search.storage.urls import storage_url
    from sweep.study.file import load_study as load_settings

    url = storage_url(None, tiny_study)
    study, config = load_study("diabetes", url), load_settings(tiny_study / "study.toml")
    before = Path(url).read_bytes()
    with hold(tiny_study, url):
        assert not prepare(study, config, tiny_study, None)
    assert Path(url).read_bytes() == before
    assert prepare(study, config, tiny_study, None)
