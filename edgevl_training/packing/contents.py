# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What goes into the bundle of an exported student."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
import json
from pathlib import Path
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_training.curation.superset import templates_of
from edgevl_training.errors import DatasetError, RecipeError
from edgevl_training.output import read_manifest, tool_versions
from edgevl_training.packing.files import Words
from edgevl_training.packing.lineage import commit
from edgevl_training.packing.words import (
    bank_texts,
    choose,
    curated_labels,
    embed_bank,
    superset_of,
)
from edgevl_training.training_recipe import MODALITIES
import numpy as np
from numpy.typing import NDArray

CPU_GRAPH, TENSORRT_GRAPH = 'student.cpu.onnx', 'student.onnx'
# Goes along where it was exported: a device may be faster with it than with INT8.
HALF_GRAPH = 'student.fp16.onnx'
_COSINE_FLOOR = 0.95
_METRICS = 'metrics.json'

FloatArray = NDArray[np.float32]


def read_exported(folder: Path) -> dict[str, Any]:
    """
    Read the manifest of an export and see that its graphs are there.

    :raises DatasetError: when it is of no INT8 student, or damaged.
    """
    manifest = read_manifest(folder, 'export')
    listed = {file['name']: file['sha256'] for file in manifest.get('files', [])}
    missing = [name for name in (CPU_GRAPH, TENSORRT_GRAPH) if name not in listed]
    if missing:
        raise DatasetError(
            f'{folder}: expected the export of an INT8 student, found no {missing[0]}; give '
            '"edgevl export" the output of "edgevl contrast"'
        )
    for name in sorted({CPU_GRAPH, TENSORRT_GRAPH, HALF_GRAPH} & set(listed)):
        path = folder / name
        if not path.is_file() or sha256_of(path) != listed[name]:
            raise DatasetError(
                f'{path}: expected the file that the manifest lists, found '
                f'{"another" if path.is_file() else "none"}; remove {folder} and export again'
            )
    return manifest


def modalities_of(exported: Mapping[str, Any]) -> tuple[Modality, ...]:
    """Give what a student was trained on."""
    names = exported['modalities']
    return MODALITIES[names] if isinstance(names, str) else tuple(map(Modality, names))


def fusion_of(
    given: Sequence[float] | None, modalities: Sequence[Modality]
) -> dict[str, float]:
    """
    Give the weight of each modality where a frame has both.

    A student of both embeds them alike, so neither is worth more before anything was measured.

    :raises RecipeError: when what is left of the weights given is nothing.
    """
    weights = dict(zip(Modality, given or (1.0, 1.0)))
    fusion = {modality.value: weights[modality] for modality in modalities}
    if not any(fusion.values()):
        raise RecipeError(
            f'--fusion: expected a weight above 0 for {", ".join(fusion)}, which is all that this '
            'student was trained on'
        )
    return fusion


def graphs_of(folder: Path) -> dict[str, bytes]:
    """
    Read both placements; TensorRT's refers to the weights that lie in the other one.

    Where the two do not hold the same bytes, each keeps its own. The twin in half precision comes
    along where there is one.
    """
    from edgevl_training.packing.weights import refer_to_weights
    import onnx

    cpu = (folder / CPU_GRAPH).read_bytes()
    tensorrt = (folder / TENSORRT_GRAPH).read_bytes()
    try:
        smaller = refer_to_weights(onnx.load_from_string(tensorrt), CPU_GRAPH, cpu)
        tensorrt = smaller.SerializeToString(deterministic=True)
    except ValueError as error:
        print(f'{TENSORRT_GRAPH} keeps its own weights: {error}')
    half = folder / HALF_GRAPH
    twins = {HALF_GRAPH: half.read_bytes()} if half.is_file() else {}
    return {CPU_GRAPH: cpu, TENSORRT_GRAPH: tensorrt, **twins}


def runner_of(exported: Path) -> Callable[[FloatArray], FloatArray]:
    """Give the student as a robot runs it, float32 (N, 3, S, S) to unit rows (N, D)."""
    from edgevl_training.evaluation.students import open_student

    return open_student('student', exported / CPU_GRAPH).backend(threads=1).embed


def words_of(
    exported: Mapping[str, Any], curated: Path | None, labels: Sequence[str] | None,
    teacher_name: str | None,
) -> tuple[Words, Words]:
    """
    Embed the bank of phrases, and choose the vocabulary among them.

    :param curated: output folder of ``edgevl curate``, where it is known.
    :raises RecipeError: when nothing says which labels.
    :raises TeacherError: when the teacher that is opened is another one.
    """
    from edgevl_training.teachers.teacher import reopen_teacher

    if labels is None:
        if curated is None:
            raise RecipeError(
                '--vocabulary: is required, for the curated pairs are not where the manifests '
                'lead; give it, or their folder as --curated'
            )
        labels = curated_labels(curated)
    superset = () if curated is None else superset_of(curated)
    templates = None if curated is None else templates_of(curated)
    teacher = exported['teacher']
    name = teacher_name or teacher.get('name') or _name_when_teaching(curated) or teacher['id']
    bank = embed_bank(
        bank_texts(superset, labels), reopen_teacher(name, teacher), teacher['logit_scale'],
        templates,
    )
    return bank, choose(bank, labels)


def _name_when_teaching(curated: Path | None) -> str | None:
    """Give what the teacher was called when it embedded the pictures, where that is known."""
    from edgevl_training.packing.lineage import folders_before

    taught = folders_before(curated).get('teach') if curated else None
    return read_manifest(taught, 'teach')['teacher'].get('name') if taught else None


def metrics_of(evaluated: Path | None, exported: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give what was measured: on held-out pairs, and of the export itself.

    :raises DatasetError: when something else was measured.
    """
    parity = {'parity': exported.get('parity')}
    if evaluated is None:
        return {'results': None, 'why': 'no held-out pairs were evaluated', **parity}
    measured_graphs = [
        model.get('sha256') for model in read_manifest(evaluated, 'evaluate').get('models', [])
    ]
    [cpu] = [file['sha256'] for file in exported['files'] if file['name'] == CPU_GRAPH]
    if cpu not in measured_graphs:
        raise DatasetError(
            f'{evaluated}: expected numbers of the student that is packed, found those of others; '
            'evaluate this export'
        )
    try:
        measured = json.loads((evaluated / _METRICS).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f'{evaluated / _METRICS}: expected what was measured: {error}; evaluate anew'
        ) from error
    return {**measured, **parity}


def manifest_of(
    exported: Mapping[str, Any], chosen: Mapping[str, Any], modalities: Sequence[Modality],
    sources: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """
    Say what the bundle is, all but the list of its files.

    :param chosen: name, license and fusion.
    """
    teacher, student = exported['teacher'], exported['student']
    names = [file['name'] for file in exported.get('files', [])]
    return {
        'schema': 1,
        'name': chosen['name'],
        'created': datetime.now(timezone.utc).date().isoformat(),
        'license': chosen['license'],
        'teacher': {key: teacher[key] for key in ('id', 'name', 'logit_scale') if key in teacher},
        'student': {
            'architecture': student['name'], 'parameters': student['parameters'],
            'precision': 'int8',
        },
        'embedding_dim': teacher['dim'],
        'input_size': student['image_size'],
        'modalities': [modality.value for modality in modalities],
        'second_modality': exported.get('second_modality'),
        'fusion': chosen['fusion'],
        'cosine_floor': _COSINE_FLOOR,
        'models': {
            'onnxruntime': CPU_GRAPH, 'tensorrt': TENSORRT_GRAPH,
            **({'tensorrt-fp16': HALF_GRAPH} if HALF_GRAPH in names else {}),
        },
        'lineage': {
            'recipe': 'edgevl pack',
            'sources': sources,
            'verbs': exported.get('lineage'),
            'commit': commit(),
            'tools': tool_versions(),
        },
    }


def check_bundle(folder: Path) -> None:
    """
    Open a bundle as a robot does, and let it look at its golden frames.

    :raises BundleError: when a robot would refuse it.
    """
    from edgevl_ros.backends import open_backend
    from edgevl_ros.core.bundle import Bundle, check_golden

    bundle = Bundle.open(folder)
    backend = open_backend('onnxruntime', bundle, threads=1)
    try:
        check_golden(bundle, backend)
    finally:
        backend.close()
