# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far TensorRT's builder is: its nested phases as one share that only grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from edgevl_ros.backends.tensorrt_library import Library
    import tensorrt as trt


@dataclass(frozen=True)
class Progress:
    """The share of a build that is done, 0..1, or None where it is unknown; and what is done."""

    share: float | None
    phase: str


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    within: float = 0.0

    @property
    def share(self) -> float:
        return min(1.0, (self.done + min(1.0, self.within)) / self.steps)


class PhaseTree:
    """
    Phases as they start, step and finish, on several threads.

    A phase inside another one is a part of the step that the outer one is at.
    """

    def __init__(self, report: Callable[[Progress], None]) -> None:
        """Report whenever there is something new; called on the builder's threads."""
        self._report = report
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Enter a phase of so many steps."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))
            self._tell(name)

    def step(self, name: str, step: int) -> None:
        """Count a step, numbered from 0, as done."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done, phase.within = max(phase.done, step + 1), 0.0
                self._tell(name)

    def finish(self, name: str) -> None:
        """Leave a phase, perhaps before all its steps were done."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done, phase.within = phase.steps, 0.0
                self._tell(name)
                del self._phases[name]

    def _tell(self, name: str) -> None:
        phase = self._phases[name]
        share, seen = phase.share, {name}
        while phase.parent in self._phases and phase.parent not in seen:
            seen.add(phase.parent)
            phase = self._phases[phase.parent]
            phase.within = max(phase.within, share)
            share = phase.share
        self._share = max(self._share, share)
        self._report(Progress(self._share, name))


def monitor(
    library: Library, tree: PhaseTree, cancelled: Callable[[], bool]
) -> trt.IProgressMonitor | None:
    """Make what the builder reports to; None for TensorRT before 10, which tells nothing."""
    base: Any = getattr(library.trt, 'IProgressMonitor', None)
    if base is None:
        return None

    class Monitor(base):  # type: ignore[misc]
        """Keeps the tree."""

        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tree.step(phase_name, step)
            return not cancelled()

        def phase_finish(self, phase_name: str) -> None:
            tree.finish(phase_name)

    made: trt.IProgressMonitor = Monitor()
    return made
