"""Signals that end a run, and those that do not."""

from __future__ import annotations

import os
import signal

import pytest

from sweep.base.signals import stopping_on_signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_stop_a_run(name: str) -> None:
    number = getattr(signal, name)
    own = signal.default_int_handler
    before = signal.signal(number, own)  # it is ignored where nohup runs the tests
    try:
        with stopping_on_signals() as stop:
            os.kill(os.getpid(), number)
            assert stop.wait(60)
        assert signal.getsignal(number) == own
    finally:
        signal.signal(number, before)


def test_nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.2)
    finally:
        signal.signal(signal.SIGHUP, before)
