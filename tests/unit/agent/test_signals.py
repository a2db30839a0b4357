"""Signals become actions in a thread of their own, whatever the main thread holds."""

from __future__ import annotations

import os
import queue
import signal
import threading

from syncagent.agent.wiring.signals import Signals

WAIT_S = 20.0


def test_a_signal_is_answered_while_the_main_thread_holds_the_inbox() -> None:
    inbox: queue.Queue[str] = queue.Queue()
    done = threading.Event()

    def act() -> None:
        inbox.put("came")
        done.set()

    with Signals({signal.SIGUSR1: act}):
        with inbox.mutex:
            # A handler that put into the inbox itself would wait here for ever.
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not done.wait(0.05)
        assert done.wait(WAIT_S)
    assert inbox.get_nowait() == "came"


def test_each_signal_has_its_action_and_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)]
    came: queue.Queue[str] = queue.Queue()
    actions = {
        signal.SIGUSR1: lambda: came.put("one"),
        signal.SIGUSR2: lambda: came.put("two"),
    }
    with Signals(actions):
        os.kill(os.getpid(), signal.SIGUSR2)
        assert came.get(timeout=WAIT_S) == "two"
        os.kill(os.getpid(), signal.SIGUSR1)
        assert came.get(timeout=WAIT_S) == "one"
    assert before == [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)]
