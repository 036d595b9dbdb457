# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A flat map of image embeddings and words."""

from __future__ import annotations

from dataclasses import dataclass

from edgevl_training.evaluation.pairs import RGB, SECOND
from edgevl_training.evaluation.results import Evaluated, Result
import numpy as np
from numpy.typing import NDArray

_MOST_PAIRS = 400
_SEED = 0
# t-SNE is slow and no better in more dimensions (van der Maaten and Hinton, 2008, section 4.2).
_DIMENSIONS = 30
_PERPLEXITY = 30.0
# Images that say where a word belongs.
_NEAREST = 7

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingMap:
    """
    Places in the plane: of words (K, 2), and by modality of images with their class, (N, 2).

    ``pairs`` counts the pairs that were drawn by lot.
    """

    words: FloatArray
    images: dict[str, tuple[FloatArray, NDArray[np.int32]]]
    pairs: int


def flatten(evaluated: Evaluated, result: Result) -> EmbeddingMap:
    """
    Lay a sample of a model's image embeddings out in a plane, by t-SNE of fixed seed.

    Images and words each keep to a corner of their own ("modality gap", Liang et al., NeurIPS
    2022), so words are not laid out with them: they are put where the images nearest to them are.
    """
    names = [name for name in (RGB, SECOND) if name in result.scores]
    chosen = _sample(evaluated, names)
    rows = {name: _rows(evaluated, result, name, chosen) for name in names}
    images = np.concatenate(list(rows.values()))
    places = _plane(images)
    label = evaluated.reference.label[chosen]
    words = _among(places, images @ evaluated.words[result.name].embeddings.T)
    parts = np.split(places, np.cumsum([len(row) for row in rows.values()])[:-1])
    return EmbeddingMap(
        words, {name: (part, label) for name, part in zip(names, parts)}, len(chosen)
    )


def _among(places: FloatArray, cosines: FloatArray) -> FloatArray:
    """Put each column of cosines on that one of its nearest images which is midst the others."""
    nearest = places[np.argsort(-cosines, axis=0, kind='stable')[:_NEAREST].T]
    between = np.linalg.norm(nearest[:, :, np.newaxis] - nearest[:, np.newaxis], axis=3)
    return nearest[np.arange(len(nearest)), between.sum(2).argmin(1)]


def _sample(evaluated: Evaluated, names: list[str]) -> NDArray[np.int64]:
    """Draw pairs that count by every modality, by lot."""
    counts = np.flatnonzero(np.logical_and.reduce([evaluated.masks[name] for name in names]))
    if len(counts) <= _MOST_PAIRS:
        return counts
    lot = np.random.default_rng(_SEED)
    return np.sort(lot.choice(counts, _MOST_PAIRS, replace=False))


def _rows(
    evaluated: Evaluated, result: Result, name: str, chosen: NDArray[np.int64]
) -> FloatArray:
    found = []
    for part, embedded in evaluated.files[result.name].parts():
        inside = chosen[(chosen >= part.start) & (chosen < part.stop)] - part.start
        found.append(embedded.rows[name][inside])
    return np.concatenate(found)


def _plane(rows: FloatArray) -> FloatArray:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    most = min(_DIMENSIONS, *rows.shape)
    narrow = PCA(most, svd_solver='full', random_state=_SEED).fit_transform(rows)
    if len(rows) < 10:
        return np.pad(narrow, ((0, 0), (0, max(0, 2 - most))))[:, :2]
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    laid: FloatArray = TSNE(
        2, perplexity=perplexity, init='pca', learning_rate='auto', random_state=_SEED
    ).fit_transform(np.ascontiguousarray(narrow, np.float32))
    return laid
