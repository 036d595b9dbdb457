# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A backend that is replaced while batches flow, on real sessions of ONNX Runtime."""
from __future__ import annotations

import threading
import time

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.switching import MOST_FAILURES, PATIENCE_S, SwitchingBackend
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
        return self.go_on.is_set()


class Slow:
    """A backend that takes its time."""

    name = 'slow'

    def embed(self, images):
        time.sleep(0.02)
        return images

    def close(self):
        return True


class Broken:
    """A GPU that has failed."""

    name = 'broken'

    def __init__(self):
        self.closed = False

    def embed(self, _):
        raise BackendError('CUDA_ERROR_ILLEGAL_ADDRESS')

    def close(self):
        self.closed = True
        return True


def in_thread(work, *arguments):
    """Begin to do something on another thread."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def test_closing_does_not_wait_for_a_batch_that_hangs():
    stuck = Stuck()
    backend = SwitchingBackend(stuck)
    thread = in_thread(backend.embed, IMAGE)
    assert stuck.began.wait(30)
    assert not backend.close()
    assert stuck.closed.is_set()
    stuck.go_on.set()
    thread.join()


def test_measuring_waits_for_the_batch_that_is_embedded():
    stuck, seconds = Stuck(), []
    backend = SwitchingBackend(stuck)
    embedding = in_thread(backend.embed, IMAGE)
    assert stuck.began.wait(30)
    timing = in_thread(lambda: seconds.append(backend.timed(IMAGE, Slow())))
    timing.join(0.2)
    assert timing.is_alive() and seconds == []
    began_s = time.perf_counter()
    stuck.go_on.set()
    timing.join(30)
    embedding.join()
    # The wait is no part of what was measured.
    assert 0.02 <= seconds[0] <= time.perf_counter() - began_s


@pytest.mark.parametrize('other', [None, Slow()], ids=['its own backend', 'another one'])
def test_frames_have_their_turn_while_backends_are_measured(other):
    """A lock is not fair: without a pause, nearly no frame gets through."""
    backend, stop, batches = SwitchingBackend(Slow()), threading.Event(), []

    def embed():
        while not stop.is_set():
            backend.embed(IMAGE)
            batches.append(1)

    thread = in_thread(embed)
    for _ in range(15):
        backend.timed(IMAGE, other)
    stop.set()
    thread.join()
    assert len(batches) >= 5


def test_frames_do_not_wait_for_a_gpu_that_hangs(make):
    stuck, backend = Stuck(), SwitchingBackend(make())
    thread = in_thread(backend.timed, IMAGE, stuck)
    assert stuck.began.wait(30)
    began_s = time.monotonic()
    for _ in range(20):
        assert backend.embed(IMAGE).shape == (1, 8)
    # The first one waits, the others know.
    assert time.monotonic() - began_s < 10 * PATIENCE_S
    stuck.go_on.set()
    thread.join()


def test_a_gpu_that_fails_again_and_again_is_given_up(make):
    broken, backend = Broken(), SwitchingBackend(make())
    expected = backend.embed(IMAGE)
    made = []

    def spare():
        made.append(make())
        return made[-1]

    backend.replace(broken, spare)
    for _ in range(MOST_FAILURES - 1):
        with pytest.raises(BackendError, match='ILLEGAL_ADDRESS'):
            backend.embed(IMAGE)
    np.testing.assert_array_equal(backend.embed(IMAGE), expected)
    assert broken.closed and len(made) == 1
    assert backend.name.startswith('onnxruntime')


def test_failures_with_a_success_between_them_are_no_failure(make):
    backend = SwitchingBackend(make())
    backend.replace(make(), pytest.fail)
    for _ in range(3):
        for _ in range(MOST_FAILURES - 1):
            with pytest.raises(BackendError, match='expected'):
                backend.embed(IMAGE[:, :2])
        backend.embed(IMAGE)
    backend.replace(Broken())
    for _ in range(2 * MOST_FAILURES):
        with pytest.raises(BackendError, match='ILLEGAL_ADDRESS'):
            backend.embed(IMAGE)
