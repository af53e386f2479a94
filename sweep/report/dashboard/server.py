"""optuna-dashboard on a study's storage."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
import optuna_dashboard

from sweep.base.errors import InputError, StudyBusyError
from sweep.report.dashboard.artifacts import attach, store_of
from sweep.report.dashboard.notes_and_figures import show
from sweep.report.figures.all import pictures
from sweep.report.findings import gather
from sweep.search.storage.locks import hold
from sweep.search.storage.optuna_private import storage_of, study_id
from sweep.search.storage.urls import storage_url
from sweep.study.settings import StudyConfig

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
_LOCAL_NAMES = (HOST, "localhost", "[::1]")
_ARTIFACTS = "/artifacts/"
"""Where optuna-dashboard serves files that a study brings."""


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


class LocalOnly:
    """A web application that answers its own pages on this machine, and nobody else's.

    A page of another site may have its name resolved to 127.0.0.1 and so reach a server here;
    the browser then still says that name as `Host`, and the page's own as `Origin`. Either gets
    403. No page may frame what is answered, and files that a study brings run no script in it.

    Args:
        app: The application.
        port: That it is served on.
    """

    def __init__(self, app: WSGIApplication, port: int) -> None:
        self._app = app
        hosts = {f"{name}:{port}" for name in _LOCAL_NAMES}
        self._hosts = hosts | (set(_LOCAL_NAMES) if port == 80 else set())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        origins = {f"http://{name}" for name in self._hosts}
        if host.lower() not in self._hosts or origin not in (None, *origins):
            start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"this dashboard answers at {', '.join(sorted(self._hosts))} alone\n".encode()]

        def start(
            status: str,
            headers: list[tuple[str, str]],
            exc_info: object = None,
        ) -> Callable[[bytes], object]:
            policy = "frame-ancestors 'none'"
            if environ.get("PATH_INFO", "").startswith(_ARTIFACTS):
                policy += "; sandbox"
            ours = [("X-Frame-Options", "DENY"), ("Content-Security-Policy", policy)]
            return start_response(status, [*headers, *ours], exc_info)  # type: ignore[arg-type]

        return self._app(environ, start)


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
    app = optuna_dashboard.wsgi(storage_of(study), artifact_store=store_of(folder))
    try:
        server = make_server(HOST, port, app, _Server, _SilentHandler)
        server.set_app(LocalOnly(app, server.server_port))
    except OSError as problem:
        raise InputError(
            f"--port {port}: {problem.strerror or problem}; give another port"
        ) from None
    with server:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        on_ready(f"http://{HOST}:{server.server_port}/dashboard/studies/{study_id(study)}")
        if threading.current_thread() is threading.main_thread():  # background jobs ignore it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
