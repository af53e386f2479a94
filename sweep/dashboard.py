"""optuna-dashboard on a study's storage."""

from __future__ import annotations

import socket
from collections.abc import Callable
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import optuna_dashboard

from sweep.errors import InputError

HOST = "127.0.0.1"


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of single requests."""


def serve(study: optuna.Study, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the dashboard until the process is interrupted.

    Args:
        study: Whose storage is shown.
        port: On 127.0.0.1; 0 for any that is free.
        on_ready: Called with the study's address once it answers.

    Raises:
        InputError: The port is in use.
    """
    try:
        server = make_server(
            HOST, port, optuna_dashboard.wsgi(study._storage), handler_class=_SilentHandler
        )
    except OSError as problem:
        raise InputError(
            f"--port {port}: {problem.strerror or problem}; give another port"
        ) from None
    with server:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        on_ready(f"http://{HOST}:{server.server_port}/dashboard/studies/{study._study_id}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
