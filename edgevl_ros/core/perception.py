# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The straight line: a frame becomes a scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import time

from edgevl_ros.core.backend import Backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.preprocess import model_input
from edgevl_ros.core.scene import EmbeddingSmoother, fuse, rank, Scene, stable_label
from edgevl_ros.core.settings import Settings
from edgevl_ros.core.vocabulary import Vocabulary
import numpy as np
from numpy.typing import NDArray

# Brightness and coverage need no more than every eighth pixel of every eighth row.
SAMPLED = slice(None, None, 8)


class NothingToLabel(BadImage):
    """No image of a frame can be used; ``unused`` says why of each that should have been."""

    def __init__(self, message: str, unused: Mapping[Modality, str]) -> None:
        """Keep the reasons beside the sentence that tells them."""
        super().__init__(message)
        self.unused = unused


@dataclass(frozen=True)
class Choices:
    """Settings and the vocabulary they ask for: what may change while frames flow, as one."""

    settings: Settings
    vocabulary: Vocabulary


class Perception:
    """
    Labels frames with one student on one backend.

    `perceive` and `reset` belong to one thread; `use` may be called from any other at any time
    and takes effect with the next frame.
    """

    def __init__(self, bundle: Bundle, backend: Backend, settings: Settings) -> None:
        """
        Take an opened bundle and a backend that runs its student.

        :raises VocabularyError: when the settings ask for labels the bundle does not know.
        """
        self._bundle = bundle
        self._backend = backend
        self._smoother = EmbeddingSmoother()
        self._choices = self.prepare(settings)

    @property
    def vocabulary(self) -> Vocabulary:
        """Give the vocabulary in use."""
        return self._choices.vocabulary

    @property
    def backend_name(self) -> str:
        """Name the runtime and device in use, for people."""
        return self._backend.name

    def weight(self, modality: Modality) -> float:
        """Tell how much a modality counts beside the other one; 0 when it is not needed then."""
        return self._weight(modality, self._choices.settings)

    def looks_at(self, modality: Modality) -> bool:
        """Tell whether a modality would be looked at if it came alone."""
        return self._looks_at(modality, self._choices.settings)

    def prepare(self, settings: Settings) -> Choices:
        """
        Build all that new settings need, changing nothing.

        :raises VocabularyError: when the settings ask for labels the bundle does not know.
        """
        own = not any(label.strip() for label in settings.vocabulary)
        vocabulary = (
            self._bundle.vocabulary
            if own
            else self._bundle.phrases.vocabulary(settings.vocabulary)
        )
        return Choices(settings, vocabulary)

    def use(self, choices: Choices) -> None:
        """Label the next frame with these choices; one assignment, so never half of them."""
        self._choices = choices

    def reset(self) -> None:
        """Forget the past, as when time jumps back."""
        self._smoother.reset()

    def perceive(self, frame: Frame) -> Scene:
        """
        Label one frame.

        :raises NothingToLabel: when nothing in the frame can be used, with the reason.
        :raises BackendError: when the runtime fails.
        """
        choices = self._choices
        settings, vocabulary = choices.settings, choices.vocabulary
        started = time.perf_counter()
        unused = self._unusable(frame, settings)
        weights = self._weights(frame, settings, unused)
        images = model_input(self._bundle.preprocess, frame, tuple(weights))
        prepared = time.perf_counter()
        embeddings = self._backend.embed(images)
        inferred = time.perf_counter()
        embedding = fuse(embeddings, np.array(list(weights.values()), np.float32))
        hypotheses = rank(embedding, vocabulary, settings.top_k)
        smoothed = self._smoother.update(frame.stamp_ns, embedding, settings.smoothing_time)
        label = stable_label(
            rank(smoothed, vocabulary, 1)[0], settings.min_probability, settings.min_similarity
        )
        finished = time.perf_counter()
        return Scene(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            hypotheses=hypotheses,
            label=label,
            modalities=tuple(weights),
            unused=unused,
            timings_s={
                'preprocess': prepared - started,
                'inference': inferred - prepared,
                'ranking': finished - inferred,
            },
        )

    def close(self) -> bool:
        """Free the backend; False when a thread of it is left behind."""
        return self._backend.close()

    def _unusable(self, frame: Frame, settings: Settings) -> dict[Modality, str]:
        """Say why of each image in the frame that holds nothing to see."""
        unusable = {}
        if frame.depth is not None:
            coverage = depth_coverage(frame.depth)
            # Without any reading there is nothing to see, whatever share is asked for.
            if coverage == 0 or coverage < settings.min_depth_coverage:
                unusable[Modality.DEPTH] = (
                    f'depth has readings in {coverage:.1%} of its pixels, expected at least '
                    f'{settings.min_depth_coverage:.1%}; is the sensor covered or out of range?'
                )
        return unusable

    def _weights(
        self, frame: Frame, settings: Settings, unused: Mapping[Modality, str]
    ) -> dict[Modality, float]:
        """Choose what to embed and how much each embedding counts."""
        present = [
            m for m in frame.modalities if m not in unused and self._looks_at(m, settings)
        ]
        if not present:
            reasons = '; '.join(unused.values()) or (
                f'the frame has {_names(frame.modalities)} only, '
                f'the bundle learned {_names(self._bundle.modalities)}'
            )
            raise NothingToLabel(
                f'nothing to label with modality {settings.modality}: {reasons}', unused
            )
        if len(present) == 1:
            return {present[0]: 1.0}
        if settings.modality == 'auto' and _is_dark(frame, settings):
            return {Modality.DEPTH: 1.0}
        weights = {modality: self._weight(modality, settings) for modality in present}
        return {modality: weight for modality, weight in weights.items() if weight > 0}

    def _weight(self, modality: Modality, settings: Settings) -> float:
        if not self._looks_at(modality, settings):
            return 0.0
        return self._bundle.fusion[modality] if settings.modality == 'auto' else 1.0

    def _looks_at(self, modality: Modality, settings: Settings) -> bool:
        chosen = settings.modality in ('auto', 'both', modality.value)
        return chosen and modality in self._bundle.modalities


def _names(modalities: Iterable[Modality]) -> str:
    return ' and '.join(modality.value for modality in modalities)


def _is_dark(frame: Frame, settings: Settings) -> bool:
    return frame.rgb is not None and brightness(frame.rgb) < settings.min_brightness


def brightness(rgb: NDArray[np.uint8]) -> float:
    """Estimate the mean of a colour image, uint8 (H, W, 3), as a share of full white."""
    return float(rgb[SAMPLED, SAMPLED].mean()) / 255


def depth_coverage(depth: NDArray[np.float32]) -> float:
    """Estimate the share of pixels of a depth image, float32 (H, W), that have a reading."""
    return float(np.isfinite(depth[SAMPLED, SAMPLED]).mean())
