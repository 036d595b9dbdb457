# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that does one thing after the other, and what becomes of it when one hangs."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref

from edgevl_ros.backends.own_thread import OwnThread, TooLong
import pytest


def test_all_is_done_on_one_thread_in_turn():
    thread, done = OwnThread('test'), []
    names = {thread.do(lambda i=i: done.append(i) or threading.current_thread().name)
             for i in range(20)}
    assert names == {'test'} and done == list(range(20))
    assert thread.end(lambda: done.append('last'), 10)
    assert done[-1] == 'last'


def test_an_error_comes_to_who_asked_and_the_next_is_done():
    thread = OwnThread('test')
    with pytest.raises(ZeroDivisionError):
        thread.do(lambda: 1 / 0)
    # Its own, not of the wait.
    with pytest.raises(TimeoutError, match='mine'):
        thread.do(lambda: (_ for _ in ()).throw(TimeoutError('mine')), 10)
    assert thread.do(lambda: 3) == 3
    assert thread.end(lambda: 1 / 0, 10)


def test_what_hangs_is_not_waited_for():
    thread, go_on = OwnThread('test'), threading.Event()
    with pytest.raises(TooLong):
        thread.do(lambda: go_on.wait(30), 0.05)
    assert not thread.end(lambda: None, 0.05)
    go_on.set()
    assert thread.end(lambda: None, 10)


def test_who_comes_too_late_is_told():
    thread = OwnThread('test')
    assert thread.end(lambda: None, 10)
    with pytest.raises(RuntimeError, match='has ended'):
        thread.do(lambda: None)


def test_what_was_done_is_let_go_of():
    """Objects of TensorRT must not wait for what is done next."""
    class Thing:
        """Something that can be watched."""

    thread, thing = OwnThread('test'), Thing()
    watched = weakref.ref(thing)
    thread.do(lambda thing=thing: type(thing))
    del thing
    thread.do(lambda: None)
    assert watched() is None
    thread.end(lambda: None, 10)


HANG = """
import threading
from edgevl_ros.backends.own_thread import OwnThread, TooLong
try:
    OwnThread('hangs').do(threading.Event().wait, 0.05)
except TooLong:
    print('left behind')
"""


def test_a_thread_that_hangs_does_not_keep_the_process():
    done = subprocess.run(
        [sys.executable, '-c', HANG], text=True, stdout=subprocess.PIPE, timeout=30,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
    assert (done.returncode, done.stdout) == (0, 'left behind\n')
