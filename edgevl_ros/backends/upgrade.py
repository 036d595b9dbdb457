# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From the backend that runs at once to the one that runs best, while frames are labelled.

A thread finds a GPU and TensorRT, loads or builds engines, measures every candidate on the golden
frames, and replaces the backend in use. Whatever fails leaves that one where it is.
"""

from __future__ import annotations

from collections.abc import Callable
import hashlib
import threading

from edgevl_ros.backends.choice import Choice, choose, measure, Measured
from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.engine_cache import EngineCacheError
from edgevl_ros.backends.engine_recipe import BuildCancelled, PRECISIONS
from edgevl_ros.backends.engines import Engines, open_cache
from edgevl_ros.backends.reporter import LogReporter
from edgevl_ros.backends.switching import SwitchingBackend
from edgevl_ros.backends.tensorrt_backend import open_tensorrt, TensorRTBackend
from edgevl_ros.backends.tensorrt_library import INSTALL, is_installed, load_library
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError, EdgeVLError

# Takes a line, and whether it is a warning.
Say = Callable[[str, bool], None]


class Upgrade:
    """One attempt to go over to TensorRT; it begins when it is made and ends by itself."""

    def __init__(
        self, bundle: Bundle, wanted: str, backend: SwitchingBackend, folder: str, say: Say
    ) -> None:
        """
        Begin.

        :param wanted: ``auto`` measures what there is; a backend's name takes that one, if its
            golden frames hold.
        :param folder: where engines are kept; empty for the user's own cache.
        :param say: called from another thread.
        """
        self._bundle, self._wanted, self._backend = bundle, wanted, backend
        self._folder, self._say = folder, say
        self._before = backend.name
        self._cancelled = threading.Event()
        self._reporter = LogReporter(lambda line: say(line, False), self._cancelled.is_set)
        self._reporter.status = 'looking for a GPU and TensorRT'
        self._thread = threading.Thread(target=self._run, name='upgrade', daemon=True)
        self._thread.start()

    @property
    def status(self) -> str:
        """Tell in one line how far it is, or how it ended."""
        return self._reporter.status

    @property
    def ended(self) -> bool:
        """Tell whether it is over."""
        return not self._thread.is_alive()

    def cancel(self, timeout_s: float) -> bool:
        """Give up; the backend in use stays. False when that takes longer than the time."""
        self._cancelled.set()
        self._thread.join(timeout_s)
        return self.ended

    def _run(self) -> None:
        try:
            self._tell(self._upgrade(), False)
        except BuildCancelled as error:
            self._reporter.status = str(error)
        # A thread has nobody to raise to, and the frames are labelled all the same.
        except Exception as error:  # noqa: B902
            name = '' if isinstance(error, EdgeVLError) else f'{type(error).__name__}: '
            # Who did not ask for TensorRT need not be warned that there is none.
            self._tell(f'staying on {self._before}: {name}{error}', self._wanted != 'auto')

    def _tell(self, outcome: str, warning: bool) -> None:
        self._reporter.status = outcome
        if not self._cancelled.is_set():
            self._say(outcome, warning)

    def _find_engines(self) -> Engines:
        """Find TensorRT and a GPU."""
        if not is_installed():
            raise BackendError(f'expected TensorRT, found none; {INSTALL}')
        # First the GPU: without one, there is no need to load the many megabytes of the other.
        gpu = open_cuda().device()
        return Engines(load_library(), gpu, open_cache(self._folder, self._reporter.say))

    def _upgrade(self) -> str:
        """Go through all of it; give what came of it."""
        engines = self._find_engines()
        candidates = [
            name for name in PRECISIONS
            if name == self._wanted or (self._wanted == 'auto' and name in self._bundle.models)
        ]
        if self._wanted != 'auto':
            return self._take(engines, candidates[0])
        return self._take_fastest(engines, candidates)

    def _take(self, engines: Engines, name: str) -> str:
        """Go over to one backend if its golden frames hold."""
        backend = self._open(engines, name)
        measured = self._measure(name, backend)
        if measured.problem:
            backend.close()
            raise BackendError(measured.problem)
        self._replace(backend)
        return f'labelling on {backend.name} now ({measured})'

    def _take_fastest(self, engines: Engines, candidates: list[str]) -> str:
        """Measure all, or remember what came of it; go over to the fastest."""
        note = self._note_name(engines, candidates)
        known = engines.cache.note(note) if engines.cache is not None else {}
        remembered = Choice.from_note(known)
        if remembered is not None:
            if remembered.backend in candidates:
                return f'{self._take(engines, remembered.backend)}, as measured before'
            return f'staying on {self._before}, as measured before: {remembered}'
        backends: dict[str, TensorRTBackend] = {}
        try:
            choice = self._compare(engines, candidates, backends)
            winner = backends.pop(choice.backend, None)
        finally:
            for loser in backends.values():
                loser.close()
        if winner is not None:
            self._replace(winner)
        self._remember(engines, note, choice)
        if winner is None:
            return f'staying on {self._before}: {choice}'
        return f'labelling on {winner.name} now: {choice}'

    def _remember(self, engines: Engines, note: str, choice: Choice) -> None:
        # What failed may have lacked memory today; only a whole comparison is worth keeping.
        if engines.cache is None or any(one.problem for one in choice.measured):
            return
        try:
            engines.cache.store_note(note, choice.note())
        except EngineCacheError as error:
            self._reporter.say(f'the choice is not kept: {error}')

    def _compare(
        self, engines: Engines, candidates: list[str], backends: dict[str, TensorRTBackend]
    ) -> Choice:
        """Measure what runs now and every candidate; ``backends`` receives those that open."""
        now = 'onnxruntime'
        measured = []
        for name in candidates:
            try:
                backends[name] = self._open(engines, name)
            except BuildCancelled:
                raise
            except EdgeVLError as error:
                measured.append(Measured(name, problem=str(error)))
            else:
                measured.append(self._measure(name, backends[name]))
        measured.append(measure(now, self._bundle, self._backend, self._backend.timed))
        return choose(measured, otherwise=now)

    def _open(self, engines: Engines, name: str) -> TensorRTBackend:
        self._reporter.begin(name)
        return open_tensorrt(self._bundle, name, engines, self._reporter)

    def _measure(self, name: str, backend: TensorRTBackend) -> Measured:
        self._reporter.status = f'measuring {name} on the golden frames'
        if self._cancelled.is_set():
            backend.close()
            raise BuildCancelled('cancelled before the golden frames were measured')
        return measure(
            name, self._bundle, backend, lambda images: self._backend.timed(images, backend)
        )

    def _replace(self, backend: TensorRTBackend) -> None:
        if self._cancelled.is_set():
            backend.close()
            raise BuildCancelled('cancelled before the backend was replaced')
        self._backend.replace(backend)

    def _note_name(self, engines: Engines, candidates: list[str]) -> str:
        """Name what was measured by all that decides it."""
        parts = [engines.key(self._bundle, name).digest for name in candidates]
        text = ' '.join([*parts, self._before, str(self._bundle.cosine_floor)])
        return f'choice-{hashlib.sha256(text.encode()).hexdigest()}'
