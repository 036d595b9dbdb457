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

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.choice import Choice, choose, measure, Measured, OneByOne
from edgevl_ros.backends.engine_cache import EngineCacheError
from edgevl_ros.backends.engine_recipe import BuildCancelled, PRECISIONS
from edgevl_ros.backends.engines import Engines, find_engines
from edgevl_ros.backends.onnxruntime_backend import onnxruntime_version
from edgevl_ros.backends.reporter import LogReporter
from edgevl_ros.backends.switching import SwitchingBackend
from edgevl_ros.backends.tensorrt_backend import open_tensorrt
from edgevl_ros.core.backend import Backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError, EdgeVLError
from edgevl_ros.core.settings import Settings

# Takes a line, and whether it is a warning.
Say = Callable[[str, bool], None]


class Upgrade:
    """One attempt to go over to TensorRT; it begins when it is made and ends by itself."""

    def __init__(
        self, settings: Settings, bundle: Bundle, backend: SwitchingBackend, say: Say,
        again: bool = False,
    ) -> None:
        """
        Begin.

        With the backend ``auto`` in the settings, what there is is measured; a backend's name
        takes that one, if its golden frames hold.

        :param backend: what labels now and gets the better one.
        :param say: called from other threads.
        :param again: whether to measure also where the choice is remembered.
        """
        self._settings, self._bundle, self._backend = settings, bundle, backend
        self._wanted, self._say, self._again = settings.backend, say, again
        self._before = backend.name
        self._left_behind = False
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
        """
        Give up; the backend in use stays.

        :returns: False when that takes longer than the time, or the GPU hangs: a thread is left
            behind then.
        """
        self._cancelled.set()
        self._thread.join(timeout_s)
        return self.ended and not self._left_behind

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
        return find_engines(self._settings.engine_cache, self._reporter.say)

    def _upgrade(self) -> str:
        """Go through all of it; give what came of it."""
        engines = self._find_engines()
        if self._wanted != 'auto':
            return self._take(engines, self._wanted)
        candidates = [name for name in PRECISIONS if name in self._bundle.models]
        note = self._note_name(engines, candidates)
        remembered = self._remembered(engines, note)
        if remembered is None:
            return self._take_fastest(engines, candidates, note)
        if remembered.backend not in candidates:
            return f'staying on {self._before}, as measured before: {remembered}'
        try:
            return f'{self._take(engines, remembered.backend)}, as measured before'
        except BuildCancelled:
            raise
        except EdgeVLError as error:
            self._reporter.say(f'what was fastest before cannot be used now: {error}')
        return self._take_fastest(engines, candidates, note)

    def _take(self, engines: Engines, name: str) -> str:
        """Go over to one backend if its golden frames hold."""
        backend, measured = self._open(engines, name)
        if measured.problem:
            self._close(backend)
            raise BackendError(measured.problem)
        self._replace(backend)
        return f'labelling on {backend.name} now ({measured})'

    def _take_fastest(self, engines: Engines, candidates: list[str], note: str) -> str:
        """Measure all, go over to the fastest and remember what came of it."""
        backends: dict[str, Backend] = {}
        try:
            choice = self._compare(engines, candidates, backends)
            winner = backends.pop(choice.backend, None)
        finally:
            for loser in backends.values():
                self._close(loser)
        if winner is not None:
            self._replace(winner)
        self._remember(engines, note, choice)
        absent = ''.join(
            f'; {name} was not compared: the bundle has no graph for it'
            for name in PRECISIONS if name not in candidates
        )
        if winner is None:
            return f'staying on {self._before}: {choice}{absent}'
        return f'labelling on {winner.name} now: {choice}{absent}'

    def _remembered(self, engines: Engines, note: str) -> Choice | None:
        if engines.cache is None or self._again:
            return None
        return Choice.from_note(engines.cache.note(note))

    def _remember(self, engines: Engines, note: str, choice: Choice) -> None:
        # What failed may have lacked memory today; only a whole comparison is worth keeping.
        if engines.cache is None or any(one.problem for one in choice.measured):
            return
        try:
            engines.cache.store_note(note, choice.note())
        except EngineCacheError as error:
            self._reporter.say(f'the choice is not kept: {error}')

    def _compare(
        self, engines: Engines, candidates: list[str], backends: dict[str, Backend]
    ) -> Choice:
        """Measure every candidate and what runs now; ``backends`` receives those that open."""
        measured = []
        for name in candidates:
            try:
                backends[name], of_it = self._open(engines, name)
            except BuildCancelled:
                raise
            except EdgeVLError as error:
                of_it = Measured(name, problem=str(error))
            measured.append(of_it)
        now = 'onnxruntime'
        # Without a candidate there is nothing to compare it with.
        if any(not one.problem for one in measured):
            self._reporter.stage(f'measuring {now} on the golden frames')
            measured.append(
                measure(now, self._bundle, OneByOne(self._backend), self._backend.timed)
            )
        return choose(measured, otherwise=now)

    def _open(self, engines: Engines, name: str) -> tuple[Backend, Measured]:
        """Open a candidate and measure it, while an end of the process counts against it."""
        self._reporter.begin(name)
        measured: list[Measured] = []
        backend = open_tensorrt(
            self._bundle, name, engines, self._reporter,
            lambda opened: measured.append(self._measure(name, opened)),
        )
        return backend, measured[-1]

    def _measure(self, name: str, backend: Backend) -> Measured:
        self._reporter.stage(f'measuring {name} on the golden frames')
        if self._cancelled.is_set():
            raise BuildCancelled('cancelled before the golden frames were measured')
        return measure(
            name, self._bundle, backend, lambda images: self._backend.timed(images, backend)
        )

    def _replace(self, backend: Backend) -> None:
        if self._cancelled.is_set():
            self._close(backend)
            raise BuildCancelled('cancelled before the backend was replaced')
        self._backend.replace(backend, self._go_back)

    def _close(self, backend: Backend) -> None:
        if not backend.close():
            self._left_behind = True

    def _go_back(self) -> Backend:
        """Open what labelled before, when the GPU fails again and again."""
        before = open_backend('onnxruntime', self._bundle, self._settings.threads)
        self._reporter.status = f'labelling on {before.name} again: the GPU has failed'
        self._say(f'{self._reporter.status}; look at dmesg and nvidia-smi', True)
        return before

    def _note_name(self, engines: Engines, candidates: list[str]) -> str:
        """Name what was measured by all that decides it."""
        parts = [engines.key(self._bundle, name).digest for name in candidates]
        now = [self._before, onnxruntime_version(), str(self._settings.threads)]
        text = ' '.join([*parts, *now, str(self._bundle.cosine_floor)])
        return f'choice-{hashlib.sha256(text.encode()).hexdigest()}'
