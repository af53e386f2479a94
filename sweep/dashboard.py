"""optuna-dashboard on a study's storage."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
import optuna_dashboard

from sweep.artifacts import attach, store_of
from sweep.errors import InputError, StudyBusyError
from sweep.exhibits import show
from sweep.locks import hold
from sweep.report.figures import pictures
from sweep.report.findings import gather
from sweep.settings import StudyConfig
from sweep.storage_urls import storage_url

HOST = "127.0.0.1"


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of single requests."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request: a browser keeps connections open that it asks nothing on."""

    daemon_threads = True


def prepare(study: optuna.Study, config: StudyConfig, folder: Path, storage: str | None) -> bool:
    """Write notes, figures and artifacts for what the study has found; the same again is harmless.

    While the study is being run, nothing is written: its run does that.

    Args:
        study: Its trials.
        config: Its settings.
        folder: Its results.
        storage: Where it is if not where its settings say.

    Returns:
        Whether it was not being run.
    """
    try:
        with hold(folder, storage_url(storage or config.storage, folder)):
            findings = gather(study, config, folder)
            show(findings, pictures(findings))
            attach(findings)
            return True
    except StudyBusyError:
        return False


def serve(study: optuna.Study, folder: Path, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the dashboard until the process is interrupted.

    Args:
        study: Whose storage is shown.
        folder: Its results, with its artifacts.
        port: On 127.0.0.1; 0 for any that is free.
        on_ready: Called with the study's address once it answers.

    Raises:
        InputError: The port is in use.
    """
    app = optuna_dashboard.wsgi(study._storage, artifact_store=store_of(folder))
    try:
        server = make_server(HOST, port, app, _Server, _SilentHandler)
    except OSError as problem:
        raise InputError(
            f"--port {port}: {problem.strerror or problem}; give another port"
        ) from None
    with server:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        on_ready(f"http://{HOST}:{server.server_port}/dashboard/studies/{study._study_id}")
        if threading.current_thread() is threading.main_thread():  # background jobs ignore it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
