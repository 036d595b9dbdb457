# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A backend that is replaced while batches flow, on real sessions of ONNX Runtime."""
from __future__ import annotations

import threading

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.switching import SwitchingBackend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError
import numpy as np
import pytest

IMAGE = np.random.default_rng(1).normal(size=(1, 3, 32, 32)).astype(np.float32)


@pytest.fixture(name='bundle', scope='module')
def fixture_bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


@pytest.fixture(name='make')
def fixture_make(bundle):
    """Open backends, and close them with the test."""
    made = []

    def make():
        made.append(open_backend('onnxruntime', bundle, threads=1))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def is_closed(backend):
    """Tell whether a backend refuses to embed."""
    try:
        backend.embed(IMAGE)
    except BackendError as error:
        assert 'closed' in str(error)
        return True
    return False


def test_it_passes_calls_on(make):
    inner = make()
    backend = SwitchingBackend(inner)
    np.testing.assert_array_equal(backend.embed(IMAGE), inner.embed(IMAGE))
    assert (backend.name, backend.input_spec, backend.output_spec) == (
        inner.name, inner.input_spec, inner.output_spec)


def test_a_replaced_backend_is_closed_and_the_new_one_is_used(make):
    old, new = make(), make()
    backend = SwitchingBackend(old)
    backend.replace(new)
    assert (is_closed(old), is_closed(new), is_closed(backend)) == (True, False, False)
    backend.close()
    backend.close()
    assert is_closed(new) and is_closed(backend)


def test_no_batch_is_lost_while_it_is_replaced_again_and_again(make):
    backend = SwitchingBackend(make())
    expected = backend.embed(IMAGE)
    stop, problems, batches = threading.Event(), [], []

    def embed():
        while not stop.is_set():
            try:
                np.testing.assert_allclose(backend.embed(IMAGE), expected, atol=1e-6)
                batches.append(1)
            except Exception as error:
                problems.append(error)

    thread = threading.Thread(target=embed)
    thread.start()
    for _ in range(30):
        backend.replace(make())
    stop.set()
    thread.join()
    assert problems == []
    assert batches


def test_one_that_was_closed_meanwhile_takes_no_other(make):
    backend, late = SwitchingBackend(make()), make()
    backend.close()
    with pytest.raises(BackendError, match='found it closed'):
        backend.replace(late)
    assert is_closed(late)


class Stuck:
    """A backend whose batch does not end until it is told to."""

    name = 'stuck'

    def __init__(self):
        self.began, self.go_on, self.closed = (threading.Event() for _ in range(3))

    def embed(self, images):
        self.began.set()
        assert self.go_on.wait(30)
        return images

    def close(self):
        self.closed.set()


def test_closing_does_not_wait_for_a_batch_that_hangs():
    stuck = Stuck()
    backend = SwitchingBackend(stuck)
    thread = threading.Thread(target=backend.embed, args=(IMAGE,))
    thread.start()
    assert stuck.began.wait(30)
    backend.close()
    assert stuck.closed.is_set()
    stuck.go_on.set()
    thread.join()


def test_measuring_is_done_alone(make):
    stuck = Stuck()
    backend = SwitchingBackend(stuck)
    thread = threading.Thread(target=backend.embed, args=(IMAGE,))
    thread.start()
    assert stuck.began.wait(30)
    other, seconds = make(), []
    timing = threading.Thread(target=lambda: seconds.append(backend.timed(IMAGE, other)))
    timing.start()
    timing.join(0.1)
    assert timing.is_alive() and seconds == []
    stuck.go_on.set()
    timing.join(30)
    thread.join()
    assert 0 < seconds[0] < 0.1
