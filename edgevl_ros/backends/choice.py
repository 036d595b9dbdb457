# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several backends to use: the fastest of those that see what the student should."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
import statistics
import time
from typing import Any

from edgevl_ros.core.backend import Backend
from edgevl_ros.core.bundle import Bundle, check_golden
from edgevl_ros.core.errors import BackendError, BundleError
import numpy as np
from numpy.typing import NDArray

WARM_UP, REPEATS = 5, 30

Timer = Callable[[NDArray[np.float32]], float]


@dataclass(frozen=True)
class Measured:
    """
    What was measured of one backend on the golden frames.

    ``cosine`` is the lowest to the recorded embeddings and ``milliseconds`` the median of a
    frame's batch; ``problem`` says why it cannot be used, and is empty where it can.
    """

    backend: str
    cosine: float = 0.0
    milliseconds: float = 0.0
    problem: str = ''

    def __str__(self) -> str:
        """Tell it to people."""
        if self.problem:
            return f'{self.backend}: {self.problem}'
        return f'{self.backend}: {self.milliseconds:.2f} ms, lowest cosine {self.cosine:.4f}'


@dataclass(frozen=True)
class Choice:
    """The backend to use, and what was measured of all."""

    backend: str
    measured: tuple[Measured, ...]

    def __str__(self) -> str:
        """Say why, in one line."""
        others = '; '.join(str(one) for one in self.measured)
        return f'{self.backend} is the fastest that keeps to the golden frames ({others})'

    def note(self) -> dict[str, Any]:
        """Write it as a note that `from_note` reads."""
        return {'backend': self.backend, 'measured': [asdict(one) for one in self.measured]}

    @classmethod
    def from_note(cls, note: Mapping[str, Any]) -> Choice | None:
        """Read a note; None where it is none."""
        try:
            measured = tuple(
                Measured(
                    str(one['backend']), float(one['cosine']), float(one['milliseconds']),
                    str(one['problem']),
                )
                for one in note['measured']
            )
            choice = cls(str(note['backend']), measured)
        except (KeyError, TypeError, ValueError):
            return None
        return choice if any(one.backend == choice.backend for one in measured) else None


def measure(name: str, bundle: Bundle, backend: Backend, timed: Timer | None = None) -> Measured:
    """
    Measure a backend on the golden frames.

    :param timed: embeds a batch and gives the seconds; by default on the backend itself.
    """
    try:
        cosine = check_golden(bundle, backend)
        seconds = _seconds(bundle, timed or _timer(backend))
    except (BackendError, BundleError) as error:
        return Measured(name, problem=str(error))
    return Measured(name, cosine, statistics.median(seconds) * 1000)


def choose(measured: Iterable[Measured], otherwise: str) -> Choice:
    """Choose the fastest that can be used; ``otherwise`` where none can."""
    every = tuple(measured)
    usable = [one for one in every if not one.problem]
    fastest = min(usable, key=lambda one: one.milliseconds, default=None)
    return Choice(fastest.backend if fastest else otherwise, every)


def _seconds(bundle: Bundle, timed: Timer) -> list[float]:
    """Time batches of one whole frame, of the modalities that count."""
    counted = [m for m in bundle.modalities if bundle.fusion[m] > 0]
    frames = len(bundle.golden.frames)
    batches = [
        np.stack([bundle.golden.inputs[modality][i] for modality in counted])
        for i in range(frames)
    ]
    for i in range(WARM_UP):
        timed(batches[i % frames])
    return [timed(batches[i % frames]) for i in range(REPEATS)]


def _timer(backend: Backend) -> Timer:
    def timed(images: NDArray[np.float32]) -> float:
        started = time.perf_counter()
        backend.embed(images)
        return time.perf_counter() - started

    return timed
