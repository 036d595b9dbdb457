# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From embeddings and words to what every model said, and how good that was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Any

from edgevl_ros.core.vocabulary import Vocabulary
from edgevl_training.evaluation import scores
from edgevl_training.evaluation.embeddings import EmbeddingFiles
from edgevl_training.evaluation.pairs import FUSED, RGB, SECOND, TestPairs
from edgevl_training.evaluation.scores import Paired, Reliability
import numpy as np
from numpy.typing import NDArray

MODALITIES = (RGB, SECOND, FUSED)
NO_LABEL = -1
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """
    What a model said of N pairs by one modality.

    ``label`` int32 (N,) is the most likely one, `NO_LABEL` where there was no picture;
    ``probability`` float32 (N,) is how likely; ``angle_deg`` float32 (N,) is the angle between
    the image and the words of the label that it is held against, NaN where there is none.
    """

    label: NDArray[np.int32]
    probability: FloatArray
    angle_deg: FloatArray


@dataclass(frozen=True)
class Score:
    """What that is worth on the pairs that count; see `scores` for the parts."""

    count: int
    right: int
    top1: float
    interval: tuple[float, float]
    mean_class: float
    mean_confidence: float
    angle_deg: float
    reliability: Reliability
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class Reference:
    """
    The labels that every model is held against.

    ``label`` int32 (N,) indexes ``labels``, `NO_LABEL` where none is known. ``is_truth`` says that
    they come with the data set; else they are what the teacher ``teacher`` says of the colour
    picture. ``unknown`` counts the pairs without a label, ``foreign`` those of labels that the
    vocabulary lacks.
    """

    labels: tuple[str, ...]
    label: NDArray[np.int32]
    is_truth: bool
    teacher: str = ''
    unknown: int = 0
    foreign: Mapping[str, int] = field(default_factory=dict)

    @property
    def measure(self) -> str:
        """Name what is measured."""
        return 'accuracy' if self.is_truth else 'agreement'


@dataclass
class Result:
    """One model and all that was found about it; ``facts`` is for people and metrics.json."""

    name: str
    teacher: str
    is_teacher: bool
    facts: dict[str, Any]
    said: dict[str, Said] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    size_bytes: int | None = None
    latency_ms: float | None = None

    @property
    def single(self) -> list[Score]:
        """Give the scores of the modalities that a camera gives."""
        return [self.scores[name] for name in (RGB, SECOND) if name in self.scores]

    @property
    def mean_top1(self) -> float:
        """Average top-1 over both modalities, as the paper's tables do; NaN of one alone."""
        return self._mean('top1')

    @property
    def mean_mean_class(self) -> float:
        """Average the mean-class share over both modalities; NaN of one alone."""
        return self._mean('mean_class')

    def _mean(self, measure: str) -> float:
        values = [getattr(one, measure) for one in self.single]
        return float(np.mean(values)) if len(values) > 1 else math.nan


def truth_of(pairs: TestPairs, labels: Sequence[str], phrase: Mapping[str, str]) -> Reference:
    """
    Give the labels of the data set their numbers.

    :param phrase: the phrase of each label.
    """
    index = {name: number for number, name in enumerate(labels)}
    phrases = [phrase[label] if label else None for label in pairs.truth]
    numbers = [NO_LABEL if p is None else index.get(p, NO_LABEL) for p in phrases]
    foreign: dict[str, int] = {}
    for p in phrases:
        if p is not None and p not in index:
            foreign[p] = foreign.get(p, 0) + 1
    return Reference(
        tuple(labels), np.array(numbers, np.int32), True, unknown=phrases.count(None),
        foreign=foreign,
    )


def listen(files: EmbeddingFiles, pairs: TestPairs, words: Vocabulary) -> dict[str, Said]:
    """Find what a model says of every pair, by every modality that it saw and by both fused."""
    count = len(pairs)
    said: dict[str, Said] = {}
    for part, embedded in files.parts():
        for name, rows in _with_fused(embedded.rows).items():
            have = np.isfinite(rows).all(1)
            if not have.any():
                continue
            of_name = said.setdefault(name, Said(
                np.full(count, NO_LABEL, np.int32), np.full(count, np.nan, np.float32),
                np.full(count, np.nan, np.float32),
            ))
            shares = scores.probabilities(rows[have], words.embeddings, words.logit_scale)
            place = np.arange(count)[part][have]
            of_name.label[place] = shares.argmax(1)
            of_name.probability[place] = shares.max(1)
    return {name: said[name] for name in MODALITIES if name in said}


def measure_angles(
    files: EmbeddingFiles, words: Vocabulary, reference: Reference, said: Mapping[str, Said]
) -> None:
    """Fill the angles to the words of the reference in."""
    for part, embedded in files.parts():
        label = reference.label[part]
        for name, rows in _with_fused(embedded.rows).items():
            have = np.isfinite(rows).all(1) & (label != NO_LABEL)
            if have.any():
                angles = scores.angles_deg(rows[have], words.embeddings[label[have]])
                said[name].angle_deg[np.arange(len(reference.label))[part][have]] = angles


def _with_fused(rows: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    if RGB in rows and SECOND in rows:
        # NaN of either is NaN of both.
        return {**rows, FUSED: scores.fuse(rows[RGB], rows[SECOND])}
    return dict(rows)


def counted(results: Sequence[Result], reference: Reference) -> dict[str, NDArray[np.bool_]]:
    """Give the pairs that count, by modality: those with a reference that every model saw."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for result in results:
        for name, said in result.said.items():
            mask = masks.setdefault(name, reference.label != NO_LABEL)
            masks[name] = mask & (said.label != NO_LABEL)
    return {name: masks[name] for name in MODALITIES if name in masks and masks[name].any()}


def score(
    said: Said, reference: Reference, mask: NDArray[np.bool_]
) -> Score:
    """Score what a model said on the pairs of a mask."""
    truth, predicted = reference.label[mask], said.label[mask]
    hit = truth == predicted
    confidence = said.probability[mask].astype(np.float64)
    counts = scores.confusion(truth, predicted, len(reference.labels))
    right = int(hit.sum())
    return Score(
        count=len(truth), right=right, top1=scores.top1(truth, predicted),
        interval=scores.wilson(right, len(truth)), mean_class=scores.mean_class(counts),
        mean_confidence=float(confidence.mean()), angle_deg=float(said.angle_deg[mask].mean()),
        reliability=scores.reliability(confidence, hit), confusion=counts,
    )


def pair_up(
    deployed: Result, others: Sequence[Result], reference: Reference,
    masks: Mapping[str, NDArray[np.bool_]],
) -> dict[tuple[str, str], Paired]:
    """Compare the deployed model with every other: (other, modality) -> how they differ."""
    return {
        (other.name, name): scores.compare_paired(*(
            said[name].label[mask] == reference.label[mask]
            for said in (deployed.said, other.said)
        ))
        for other in others for name, mask in masks.items()
        if name in deployed.said and name in other.said
    }


@dataclass(frozen=True)
class Evaluated:
    """
    All that was found.

    ``masks`` are the pairs that count, by modality; ``deployed`` is the last student, which
    ``paired`` compares with every other result; ``skipped`` are (item, reason) of pictures.
    """

    pairs: TestPairs
    reference: Reference
    results: tuple[Result, ...]
    masks: dict[str, NDArray[np.bool_]]
    paired: dict[tuple[str, str], Paired]
    files: Mapping[str, EmbeddingFiles]
    words: Mapping[str, Vocabulary]
    skipped: tuple[tuple[str, str], ...]

    @property
    def deployed(self) -> Result | None:
        """Give the student that the robot is to run."""
        students = [result for result in self.results if not result.is_teacher]
        return students[-1] if students else None

    @property
    def shown(self) -> Result:
        """Give the result whose details are shown first."""
        return self.deployed or self.results[0]

    @property
    def modalities(self) -> list[str]:
        """List the modalities that something was measured by."""
        return list(self.masks)


def judge(
    pairs: TestPairs, results: Sequence[Result], files: Mapping[str, EmbeddingFiles],
    words: Mapping[str, Vocabulary], truth: Reference | None,
) -> Evaluated:
    """
    Find what every model says, and hold it against the truth or what the teacher says of colour.

    :param results: teachers first; completed here.
    :param words: by the name of the result.
    :param truth: None where the data set has no labels.
    """
    for result in results:
        result.said = listen(files[result.name], pairs, words[result.name])
    reference = truth or _of_teacher(results[0], words, len(pairs))
    for result in results:
        measure_angles(files[result.name], words[result.name], reference, result.said)
    masks = counted(results, reference)
    for result in results:
        result.scores = {
            name: score(result.said[name], reference, mask)
            for name, mask in masks.items() if name in result.said
        }
    students = [result for result in results if not result.is_teacher]
    others = [result for result in results if not students or result is not students[-1]]
    paired = pair_up(students[-1], others, reference, masks) if students else {}
    return Evaluated(
        pairs, reference, tuple(results), masks, paired, files, words,
        _skipped(pairs, files.values()),
    )


def _of_teacher(teacher: Result, words: Mapping[str, Vocabulary], count: int) -> Reference:
    """Take the teacher's label of the colour picture for want of any other."""
    said = teacher.said.get(RGB)
    label = np.full(count, NO_LABEL, np.int32) if said is None else said.label
    return Reference(
        words[teacher.name].labels, label, False, teacher.teacher,
        unknown=int(np.sum(label == NO_LABEL)),
    )


def _skipped(
    pairs: TestPairs, files: Iterable[EmbeddingFiles]
) -> tuple[tuple[str, str], ...]:
    """List every picture that could not be used, once, in the order of the pairs."""
    names = {RGB: 'colour', SECOND: pairs.modality.name}
    found = {
        (pair_id, names[modality]): why
        for of_model in files for _, part in of_model.parts()
        for pair_id, modality, why in part.problems
    }
    order = {pair_id: index for index, pair_id in enumerate(pairs.ids)}
    return tuple(
        (pair_id, f'{modality}: {why}')
        for (pair_id, modality), why in sorted(found.items(), key=lambda i: order[i[0][0]])
    )
