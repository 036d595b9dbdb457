# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``export``: a trained student as the ONNX graphs that robots run, proven to be the same.

Of an INT8 student come two placements of the same rounding, see `edgevl_training.quantize`, of a
float one its float graph. Every graph has to give the embeddings of the network that was trained,
on pictures that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_training.errors import DatasetError
from edgevl_training.output import (
    atomic,
    IN_PROGRESS,
    MANIFEST,
    OutputFolder,
    read_manifest,
    write_json,
    write_text,
)
from edgevl_training.recipe import parse, Recipe
from edgevl_training.training_recipe import MODALITIES
from edgevl_training.training_stage import learned_by, parameters_of, PREPROCESS, STUDENT
from pydantic import Field

if TYPE_CHECKING:
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.exporting.parity import Cosines, Exported, FloatArray
    from edgevl_training.students.student import Student
    import onnx

TENSORRT, CPU = 'student.onnx', 'student.cpu.onnx'
FLOAT, HALF = 'student.fp32.onnx', 'student.fp16.onnx'
PARITY, PARITY_CHART = 'parity.json', 'parity.png'
_BATCH = 8
_VERBS = ('contrast', 'distill')
_TITLES = {
    TENSORRT: 'for TensorRT, against the network with INT8 rounding',
    CPU: 'for ONNX Runtime on a CPU, against the network with INT8 rounding',
    FLOAT: 'FP32, against the network without rounding',
    HALF: 'FP16, against the network without rounding',
}


class ExportRecipe(Recipe):
    """Write a trained student as ONNX graphs for robots, and prove them equal to it."""

    student: Path = Field(
        description='output folder of edgevl contrast (gives INT8) or edgevl distill (FP32)'
    )
    out: Path = Field(description='folder to write to')
    data: Path | None = Field(
        None, description='output folder of edgevl curate, whose validation pictures prove the '
        'graphs (default: the one that the student was trained on)',
    )
    twins: tuple[Literal['fp32', 'fp16'], ...] = Field(
        (), description='also write the student in these precisions: fp32, fp16'
    )
    pairs: int = Field(
        64, ge=1, le=1_000_000, description='most validation pairs to prove the graphs on'
    )
    threads: int = Field(1, ge=1, le=256, description='threads that compute')


def run(arguments: list[str]) -> int:
    """Export."""
    from edgevl_training.cli import VERBS

    recipe = parse(ExportRecipe, 'export', arguments, list(VERBS))
    manifest = _student_manifest(recipe.student)
    data = _data_of(recipe, manifest)
    purpose = {
        # The folders may be moved; what they hold is in their manifests.
        'recipe': recipe.model_dump(mode='json', include={'twins', 'pairs'}),
        'trained': {
            'verb': manifest['verb'], 'manifest_sha256': sha256_of(recipe.student / MANIFEST),
        },
        'data': {'manifest_sha256': sha256_of(data / MANIFEST)},
    }
    with OutputFolder(recipe.out, 'export', purpose) as output:
        if output.finished:
            print(f'{recipe.out}: finished earlier, nothing to do')
        else:
            output.finish(_export(recipe, manifest, data))
    return _summarise(recipe.out)


def _student_manifest(folder: Path) -> dict[str, Any]:
    """
    Read the manifest of a trained student.

    :raises DatasetError: when the folder holds none.
    """
    for verb in _VERBS:
        try:
            return read_manifest(folder, verb)
        except DatasetError:
            continue
    found = 'none'
    if (folder / MANIFEST).is_file():
        found = 'the output of something else'
    elif (folder / IN_PROGRESS).is_file():
        found = 'an unfinished one'
    raise DatasetError(
        f'{folder}: expected the finished output of "edgevl contrast" or "edgevl distill", found '
        f'{found}; give the folder that one of them wrote'
    )


def _data_of(recipe: ExportRecipe, manifest: dict[str, Any]) -> Path:
    """
    Find the curated pairs of a student.

    :raises DatasetError: when they are gone, or other ones than it was trained on.
    """
    named = (manifest.get('paths') or {}).get('data', '')
    data = recipe.data or Path(os.path.normpath(recipe.student / named))
    try:
        read_manifest(data, 'curate')
    except DatasetError as error:
        raise DatasetError(
            f'--data: expected the curated pairs that {recipe.student} was trained on: {error}'
        ) from error
    if sha256_of(data / MANIFEST) != manifest['data']['manifest_sha256']:
        raise DatasetError(
            f'{data}: expected the curated pairs that {recipe.student} was trained on, found '
            'others; name those with --data'
        )
    return data


def _export(recipe: ExportRecipe, manifest: dict[str, Any], data: Path) -> dict[str, Any]:
    """Write everything but the manifest; give what belongs into that."""
    from edgevl_training.curated_split import CuratedSplit
    from edgevl_training.exporting.lineage import lineage_of
    from edgevl_training.exporting.threads import torch_threads

    int8 = manifest['verb'] == 'contrast'
    names = learned_by(manifest)
    split = CuratedSplit(data, 'validation', MODALITIES[names])
    student = _load(recipe.student / STUDENT, int8)
    print(
        f'{student.name}, {parameters_of(student) / 1e6:.1f} million parameters, '
        f'{student.image_size} px: writing {"INT8" if int8 else "FP32"} graphs', flush=True,
    )
    text = (recipe.student / PREPROCESS).read_text(encoding='utf-8')
    write_text(recipe.out / PREPROCESS, text)
    with torch_threads(recipe.threads):
        exported = _write_graphs(recipe, student, int8)
        parity = _prove(recipe, exported, split, text, MODALITIES[names])
    files = [*exported, PREPROCESS, PARITY, PARITY_CHART]
    return {
        **{key: manifest[key] for key in ('teacher', 'second_modality', 'student')},
        'modalities': names,
        'preprocess': text,
        'precision': 'int8' if int8 else 'fp32',
        'parity': parity,
        'files': [
            {
                'name': name, 'sha256': sha256_of(recipe.out / name),
                'bytes': (recipe.out / name).stat().st_size,
            }
            for name in files
        ],
        'lineage': lineage_of(recipe.student),
        'paths': {
            'student': os.path.relpath(recipe.student, recipe.out),
            'data': os.path.relpath(data, recipe.out),
        },
    }


def _load(path: Path, int8: bool) -> Student:
    if int8:
        from edgevl_training.fake_quant import load_quantized

        return load_quantized(path).eval()
    from edgevl_training.students.folding import fold_batch_norm
    from edgevl_training.students.student import load_student

    return fold_batch_norm(load_student(path).eval())


def _write_graphs(recipe: ExportRecipe, student: Student, int8: bool) -> dict[str, Exported]:
    """Write the graphs that are asked for; give what each has to be equal to."""
    from edgevl_training.exporting.graph import float_graph
    from edgevl_training.exporting.half import half_graph
    from edgevl_training.exporting.int8 import int8_graphs
    from edgevl_training.exporting.parity import Exported
    from edgevl_training.fake_quant import float_twin

    exported = {}
    if int8:
        tensorrt, cpu = int8_graphs(student)
        for name, graph in ((TENSORRT, tensorrt), (CPU, cpu)):
            content = write_graph(recipe.out / name, graph)
            exported[name] = Exported(content, student, 'fake-quant', name == TENSORRT)
    if recipe.twins or not int8:
        twin = float_twin(student) if int8 else student
        graph = float_graph(twin)
        if 'fp32' in recipe.twins or not int8:
            exported[FLOAT] = Exported(write_graph(recipe.out / FLOAT, graph), twin, 'float')
        if 'fp16' in recipe.twins:
            half = write_graph(recipe.out / HALF, half_graph(graph))
            exported[HALF] = Exported(half, twin, 'float')
    return exported


def write_graph(path: Path, graph: onnx.ModelProto) -> bytes:
    """Write a graph whole or not at all; give the bytes of the file."""
    content: bytes = graph.SerializeToString(deterministic=True)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    print(f'{path.name}: {len(content) / 1e6:.1f} MB', flush=True)
    return content


def _prove(
    recipe: ExportRecipe, exported: dict[str, Exported], split: CuratedSplit, spec_text: str,
    modalities: tuple[Modality, ...],
) -> dict[str, Any]:
    """Compare the graphs with the network; write what was found, then refuse what differs."""
    from edgevl_training.exporting.parity import check, LEAST_COSINE, summary_of
    from edgevl_training.exporting.parity_chart import parity_chart

    cosines = _compare(recipe, exported, split, spec_text, modalities)
    between = [name for name in cosines if name not in exported]
    parity = {
        'mean_cosine_above': LEAST_COSINE,
        'graphs': {
            name: {'against': item.against, 'cosines': summary_of(cosines[name])}
            for name, item in exported.items()
        },
        **({'placements': summary_of(cosines[name])} if (name := ''.join(between)) else {}),
    }
    write_json(recipe.out / PARITY, parity)
    titles = {**_TITLES, **dict.fromkeys(between, 'for TensorRT against for ONNX Runtime')}
    chart = parity_chart(
        'Exported graphs against the trained network, on validation pictures', cosines, titles,
        {'rgb': 'colour', 'depth': split.modality.name},
    )
    with atomic(recipe.out / PARITY_CHART) as temporary:
        temporary.write_bytes(chart)
    check(cosines, exported)
    return parity


def _compare(
    recipe: ExportRecipe, exported: dict[str, Exported], split: CuratedSplit, spec_text: str,
    modalities: tuple[Modality, ...],
) -> dict[str, Cosines]:
    from edgevl_training.exporting.parity import cosines_of, joined
    from edgevl_training.progress import progress

    pictures = _pictures(recipe, split, spec_text, modalities)
    count = min(recipe.pairs, len(split))
    found = []
    with progress(f'{recipe.out.name}: proving the graphs', count, 'pairs') as bar:
        for part in cosines_of(exported, pictures, recipe.threads):
            found.append(part)
            of_modality = next(iter(part.values()))
            # Each pair comes once in every modality it has.
            bar.advance(sum(map(len, of_modality.values())) / len(modalities))
    return joined(found)


def _pictures(
    recipe: ExportRecipe, split: CuratedSplit, spec_text: str, modalities: tuple[Modality, ...],
) -> Iterator[tuple[Modality, FloatArray]]:
    """Give validation pictures as the network sees them, in batches of one modality."""
    from edgevl_ros.core.preprocess import PreprocessSpec
    from edgevl_training.training_data import batches_of, BatchPlan

    plan = BatchPlan(min(_BATCH, recipe.pairs), modalities=modalities)
    left = recipe.pairs
    for batch in batches_of(split, PreprocessSpec.from_yaml(spec_text), plan):
        if left <= 0:
            return
        rgb, depth = batch.rgb[:left], batch.depth[:left][batch.has_depth[:left]]
        left -= len(rgb)
        if Modality.RGB in modalities:
            yield Modality.RGB, rgb
        if len(depth):
            yield Modality.DEPTH, depth


def _summarise(out: Path) -> int:
    """Print what came out; give the exit status."""
    manifest = read_manifest(out, 'export')
    second = (manifest['second_modality'] or {}).get('name', 'depth')
    names = {'rgb': 'colour', 'depth': second}
    sizes = {file['name']: file['bytes'] for file in manifest['files']}
    student = manifest['student']
    print(f'{out}: {student["name"]}, {manifest["precision"].upper()}, '
          f'{student["image_size"]} px')
    for name, graph in manifest['parity']['graphs'].items():
        cosines = ', '.join(
            f'{names[modality]} {of["mean"]:.5f} ({of["count"]} pictures)'
            for modality, of in graph['cosines'].items()
        )
        print(
            f'{name}: {sizes[name] / 1e6:.1f} MB, '
            f'{sizes[name] / student["parameters"]:.2f} bytes a parameter; mean cosine to the '
            f'{graph["against"]} network: {cosines}'
        )
    missing = [item['verb'] for item in manifest['lineage'] if 'missing' in item]
    if missing:
        print(f'lineage: no longer where the manifests lead: {", ".join(missing)}')
    print(f'picture: {out / PARITY_CHART}')
    return 0
