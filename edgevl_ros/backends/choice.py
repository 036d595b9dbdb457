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
# Where a batch takes long, fewer tell enough; frames wait for each of them.
ENOUGH_S, LEAST_REPEATS = 2.0, 5

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
        if all(one.problem for one in self.measured):
            return f'no other can be used ({others or "the bundle has no graph for one"})'
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


class OneByOne:
    """Passes batches on image by image, so that others get their turn in between."""

    def __init__(self, backend: Backend) -> None:
        """Take who embeds; closing it stays with its owner."""
        self._backend = backend
        self.name = backend.name
        self.input_spec, self.output_spec = backend.input_spec, backend.output_spec

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a batch, float32 (B, 3, S, S), as unit rows, float32 (B, D)."""
        return np.concatenate([self._backend.embed(image[np.newaxis]) for image in images])

    def close(self) -> bool:
        """Do nothing."""
        return True


def measure(name: str, bundle: Bundle, backend: Backend, timed: Timer | None = None) -> Measured:
    """
    Measure a backend on the golden frames.

    :param timed: embeds a batch and gives the seconds; by default on the backend itself.
    """
    try:
        cosine = check_golden(bundle, backend)
        seconds = _seconds(bundle, backend, timed or _timer(backend))
    except (BackendError, BundleError) as error:
        return Measured(name, problem=str(error))
    return Measured(name, cosine, statistics.median(seconds) * 1000)


def choose(measured: Iterable[Measured], otherwise: str) -> Choice:
    """Choose the fastest that can be used; ``otherwise`` where none can."""
    every = tuple(measured)
    usable = [one for one in every if not one.problem]
    fastest = min(usable, key=lambda one: one.milliseconds, default=None)
    return Choice(fastest.backend if fastest else otherwise, every)


def _seconds(bundle: Bundle, backend: Backend, timed: Timer) -> list[float]:
    """Time batches of one whole frame, of the modalities that count, until that is enough."""
    counted = [m for m in bundle.modalities if bundle.fusion[m] > 0]
    frames = len(bundle.golden.frames)
    batches = [
        np.stack([bundle.golden.inputs[modality][i] for modality in counted])
        for i in range(frames)
    ]
    for i in range(WARM_UP):
        backend.embed(batches[i % frames])
    seconds: list[float] = []
    while len(seconds) < REPEATS and (len(seconds) < LEAST_REPEATS or sum(seconds) < ENOUGH_S):
        seconds.append(timed(batches[len(seconds) % frames]))
    return seconds


def _timer(backend: Backend) -> Timer:
    def timed(images: NDArray[np.float32]) -> float:
        started = time.perf_counter()
        backend.embed(images)
        return time.perf_counter() - started

    return timed
