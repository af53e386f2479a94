"""What a trial's process and its worker say to each other: lines of JSON over a local socket.

Only this machine can connect: a Unix socket in a folder of the user's own, or 127.0.0.1 where there
are none. A process must know the token that stands in the address; nothing is unpickled.
"""

from __future__ import annotations

import hmac
import json
import secrets
import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADDRESS = "SWEEP_TRIAL"
"""The environment variable that says where a trial's worker listens: `token@place`."""

GO_ON, STOP = "go on", "stop"
"""The answers to a report."""

_MOST_BYTES = 2**20
"""Of a message."""


class Link:
    """The process's end of a connection to its worker.

    Args:
        address: What ADDRESS says.

    Raises:
        OSError: Nobody listens there.
    """

    def __init__(self, address: str) -> None:
        token, _, place = address.partition("@")
        if place.startswith("/"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(place)
        else:
            host, _, port = place.rpartition(":")
            self._socket = socket.create_connection((host, int(port)))
        self._file = self._socket.makefile("rb")
        self._token = token

    def ask(self, **message: Any) -> dict[str, Any]:
        """Say something and wait for the answer.

        Raises:
            OSError: The worker is gone.
        """
        self._socket.sendall(_line({"token": self._token, **message}))
        answer = self._file.readline()
        if not answer:
            raise ConnectionError("the worker has closed the connection")
        return dict(json.loads(answer))


@dataclass
class Peer:
    """A worker's end of a connection to one process of its trial."""

    socket: socket.socket
    unread: bytearray = field(default_factory=bytearray)

    def answer(self, **message: Any) -> None:
        """Say something; one that is gone does not hear it."""
        with suppress(OSError):
            self.socket.sendall(_line(message))


class Listener:
    """Where the processes of one trial find their worker.

    Args:
        folder: For the socket; its path must be short (a Unix socket's has about 100 characters).
    """

    def __init__(self, folder: Path) -> None:
        self._token = secrets.token_hex(16)
        self._selector = selectors.DefaultSelector()
        self._socket, place = _listening(folder)
        self._socket.setblocking(False)
        self._selector.register(self._socket, selectors.EVENT_READ)
        self.address = f"{self._token}@{place}"

    def wake_on(self, end: socket.socket) -> None:
        """Let `receive` come back when a socket's other end is closed."""
        self._selector.register(end, selectors.EVENT_READ)

    def receive(self, timeout: float | None) -> list[tuple[Peer, dict[str, Any]]]:
        """What processes have said, at the latest after so many seconds; maybe nothing."""
        said: list[tuple[Peer, dict[str, Any]]] = []
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._socket:
                with suppress(OSError):
                    connection, _ = self._socket.accept()
                    self._selector.register(connection, selectors.EVENT_READ, Peer(connection))
            elif isinstance(key.data, Peer):
                said += [(key.data, message) for message in self._read(key.data)]
        return said

    def _read(self, peer: Peer) -> list[dict[str, Any]]:
        """The messages that have come in whole; a stranger's connection is closed."""
        try:
            received = peer.socket.recv(65_536)
        except OSError:
            received = b""
        peer.unread += received
        *lines, rest = peer.unread.split(b"\n")
        peer.unread = bytearray(rest)
        messages = [self._message(bytes(line)) for line in lines]
        if not received or None in messages or len(rest) > _MOST_BYTES:
            self._selector.unregister(peer.socket)
            peer.socket.close()
        return [message for message in messages if message is not None]

    def _message(self, line: bytes) -> dict[str, Any] | None:
        """A message of one who knows the token; None of anybody else."""
        try:
            message = json.loads(line)
            known = hmac.compare_digest(str(message.pop("token")), self._token)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return dict(message) if known else None

    def close(self) -> None:
        """Close it, and what is connected."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Peer):
                key.data.socket.close()
        self._selector.close()
        self._socket.close()


def _listening(folder: Path) -> tuple[socket.socket, str]:
    """A socket that listens, and how it is reached."""
    if hasattr(socket, "AF_UNIX"):
        place = str(folder / secrets.token_hex(4))
        local = socket.socket(socket.AF_UNIX)
        try:
            local.bind(place)
            local.listen()
            return local, place
        except OSError:  # the path is too long, or the file system has no sockets
            local.close()
    local = socket.create_server(("127.0.0.1", 0))
    return local, f"127.0.0.1:{local.getsockname()[1]}"


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
