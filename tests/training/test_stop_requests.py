"""Ctrl-C and SIGTERM while a run is under way."""

import os
import signal

import pytest

from flaxmark.training.stop_requests import stop_requests


def test_ctrl_c_asks_once_and_ends_the_second_time() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requests() as asked:
        assert not asked(1)
        os.kill(os.getpid(), signal.SIGINT)
        assert asked(1)
        os.kill(os.getpid(), signal.SIGINT)


def test_sigterm_asks_once_and_has_an_exit_status_of_its_own() -> None:
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # the same one, come a second way
        assert asked(1)
        assert asked.interruption("saved").exit_status == 75
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_closed_terminal_is_as_sigterm() -> None:
    """And both together, as systemd sends them, are one request."""
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked(1)
        assert asked.interruption("saved").exit_status == 75
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked(1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sigterm_later_on_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    with stop_requests() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked(1)
        monkeypatch.setattr("flaxmark.training.stop_requests.ECHO_SECONDS", -1.0)
        monkeypatch.setattr(os, "kill", lambda _, number: ended.append(number))
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert ended == [signal.SIGTERM]
