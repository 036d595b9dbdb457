# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real bundle made small: its student embeds the mean colour, in a few kilobytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.preprocess import (
    ColorSpec,
    DepthSpec,
    model_input,
    PreprocessSpec,
    ResizeSpec,
)
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import onnxruntime

SIZE = 32
DIM = 8
TEACHER = 'test/mean-colour'
PHRASES = (
    'kitchen', 'corridor', 'office', 'home office', 'bathroom', 'bedroom', 'living room',
    'server room', 'red', 'green', 'blue', 'dark', 'bright', 'street', 'forest', 'warehouse',
)
LABELS = ('red', 'green', 'blue')
HALF = 'student.fp16.onnx'
SPEC = PreprocessSpec(
    input_size=SIZE,
    resize=ResizeSpec('shortest_side', SIZE, 'area'),
    rgb=ColorSpec((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    depth=DepthSpec(near_m=0.0, far_m=10.0, missing=0.0, mean=0.5, std=0.5),
)


def write_tiny_bundle(folder: Path, fusion: dict[str, float] | None = None) -> Path:
    """Write a bundle whose students are real ONNX graphs, and whose golden frames hold."""
    folder.mkdir(parents=True)
    onnx.save(_student(), folder / 'student.cpu.onnx')
    onnx.save(_student(), folder / 'student.onnx')
    (folder / 'preprocess.yaml').write_text(SPEC.to_yaml(), encoding='utf-8')
    vectors = _phrase_vectors(folder / 'student.cpu.onnx')
    _save_words(folder / 'phrases.npz', 'phrases', PHRASES, vectors, np.float16)
    _save_words(folder / 'vocabulary.npz', 'labels', LABELS, vectors, np.float32)
    _save_golden(folder)
    write_manifest(folder, fusion or {'rgb': 1.0, 'depth': 0.5})
    return folder


def add_half_precision(folder: Path) -> None:
    """Give a bundle the twin in half precision, float in its last step as exported ones are."""
    model = _student()
    weights, bias = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    del model.graph.initializer[:]
    model.graph.initializer.extend([
        numpy_helper.from_array(weights.astype(np.float16), 'weights'),
        numpy_helper.from_array(bias.astype(np.float16), 'bias'),
    ])
    mean, product, unit = model.graph.node
    mean.input[0], product.output[0] = 'half', 'half.features'
    nodes = [
        helper.make_node('Cast', ['image'], ['half'], to=TensorProto.FLOAT16), mean, product,
        helper.make_node('Cast', ['half.features'], ['features'], to=TensorProto.FLOAT), unit,
    ]
    half = helper.make_graph(
        nodes, 'student', model.graph.input, model.graph.output, model.graph.initializer
    )
    result = helper.make_model(half, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(result, full_check=True)
    onnx.save(result, folder / HALF)
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})


def break_student(folder: Path) -> None:
    """Give the student a weight that is no number, so its embeddings are none either."""
    path = folder / 'student.cpu.onnx'
    model = onnx.load(path)
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, 'weights'))
    onnx.save(model, path)
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})


def write_manifest(folder: Path, fusion: dict[str, float]) -> None:
    """Write the manifest of a folder's files as they are now."""
    files = {
        path.name: {
            'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
            'bytes': path.stat().st_size,
        }
        for path in sorted(folder.iterdir())
        if path.name != 'manifest.json'
    }
    manifest = {
        'schema': 1, 'name': 'tiny', 'created': '2026-01-01', 'license': 'Apache-2.0',
        'teacher': {'id': TEACHER}, 'student': {'architecture': 'mean colour'},
        'embedding_dim': DIM, 'input_size': SIZE, 'modalities': ['rgb', 'depth'],
        'fusion': fusion, 'cosine_floor': 0.99,
        'models': {
            'onnxruntime': 'student.cpu.onnx', 'tensorrt': 'student.onnx',
            **({'tensorrt-fp16': HALF} if HALF in files else {}),
        },
        'files': files, 'lineage': {},
    }
    (folder / 'manifest.json').write_text(json.dumps(manifest), encoding='utf-8')


def solid(red: int, green: int, blue: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Make a picture of one colour, uint8 (H, W, 3)."""
    return np.full((*size, 3), (red, green, blue), np.uint8)


def _student() -> onnx.ModelProto:
    weights = np.random.default_rng(7).normal(size=(3, DIM)).astype(np.float32)
    bias = np.full(DIM, 0.05, np.float32)
    nodes = [
        helper.make_node('ReduceMean', ['image'], ['mean'], axes=[2, 3], keepdims=0),
        helper.make_node('Gemm', ['mean', 'weights', 'bias'], ['features']),
        helper.make_node('LpNormalization', ['features'], ['embedding'], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        'student',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['batch', 3, SIZE, SIZE])],
        [helper.make_tensor_value_info('embedding', TensorProto.FLOAT, ['batch', DIM])],
        [numpy_helper.from_array(weights, 'weights'), numpy_helper.from_array(bias, 'bias')],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def _embed(model: Path, frame: Frame, modality: Modality) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model), providers=['CPUExecutionProvider'])
    return session.run(['embedding'], {'image': model_input(SPEC, frame, [modality])})[0][0]


def _phrase_vectors(model: Path) -> dict[str, np.ndarray]:
    """Give colour words the embedding of their colour and every other word a random one."""
    random = np.random.default_rng(11).normal(size=(len(PHRASES), DIM))
    vectors = dict(zip(PHRASES, random / np.linalg.norm(random, axis=1, keepdims=True)))
    colors = {'red': (255, 0, 0), 'green': (0, 255, 0), 'blue': (0, 0, 255),
              'dark': (0, 0, 0), 'bright': (255, 255, 255)}
    for name, color in colors.items():
        vectors[name] = _embed(model, Frame(0, '', rgb=solid(*color)), Modality.RGB)
    return vectors


def _save_words(
    path: Path, key: str, words: tuple[str, ...], vectors: dict[str, np.ndarray], dtype: type
) -> None:
    embeddings = np.stack([vectors[word] for word in words]).astype(dtype)
    arrays = {key: np.array(words), 'embeddings': embeddings,
              'logit_scale': np.float32(20), 'teacher': np.array(TEACHER)}
    np.savez_compressed(path, **arrays)


def _save_golden(folder: Path) -> None:
    random = np.random.default_rng(3)
    rgb = random.integers(0, 255, (2, 48, 64, 3), dtype=np.uint8)
    depth_mm = random.integers(500, 8000, (2, 48, 64), dtype=np.uint16)
    depth_mm[:, :8] = 0
    metres = depth_mm.astype(np.float32) / np.float32(1000)
    metres[depth_mm == 0] = np.nan
    frames = [Frame(0, '', rgb[i], metres[i]) for i in range(2)]
    arrays: dict[str, np.ndarray] = {'rgb': rgb, 'depth_mm': depth_mm}
    for modality in Modality:
        arrays[f'{modality.value}_input'] = np.concatenate(
            [model_input(SPEC, frame, [modality]) for frame in frames]
        ).astype(np.float16)
        arrays[f'{modality.value}_embedding'] = np.stack(
            [_embed(folder / 'student.cpu.onnx', frame, modality) for frame in frames]
        )
    np.savez_compressed(folder / 'golden.npz', **arrays)
