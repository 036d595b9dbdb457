# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Open what ``--models NAME=PATH`` points at: an exported student, or the one in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from edgevl_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import FileNameError
from edgevl_ros.core.files import file_inside, sha256_of
from edgevl_ros.core.onnx_files import external_files
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_ros.core.vocabulary import PhraseBank
from edgevl_training.errors import DatasetError
from edgevl_training.output import IN_PROGRESS, MANIFEST, read_manifest

# What a robot without TensorRT runs, then what is left of a float student.
_GRAPHS = ('student.cpu.onnx', 'student.fp32.onnx', 'student.fp16.onnx')
_PRECISIONS = {'student.fp32.onnx': 'fp32', 'student.fp16.onnx': 'fp16'}
# What makes the folder that a verb's output is still to go through.
_EXPORT = 'run "edgevl export --student {folder}" and name its output'
# What a manifest of a student says it was trained on.
_LEARNED = {'both': ('rgb', 'depth'), 'rgb': ('rgb',), 'depth': ('depth',)}


@dataclass(frozen=True)
class Student:
    """
    A student to measure.

    ``size_bytes`` counts the graph with everything it reads. ``teacher_name`` is what
    `open_teacher` knows the teacher by. ``modalities`` are those it learned; ``second`` names the
    second one, where that is known. Of a bundle, ``bank`` and ``labels`` are its words.
    ``prompts`` names the sentences that its pairs were curated with, if any were named.
    """

    name: str
    path: Path
    graph: Path
    preprocess: PreprocessSpec
    dim: int
    teacher: str
    teacher_name: str
    precision: str
    sha256: str
    size_bytes: int
    modalities: tuple[str, ...]
    parameters: int | None = None
    second: str | None = None
    bank: PhraseBank | None = None
    labels: tuple[str, ...] = ()
    prompts: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Give what decides its embeddings."""
        return {
            'name': self.name, 'sha256': self.sha256, 'preprocess': self.preprocess.to_yaml(),
            'teacher': self.teacher,
        }

    def backend(self, threads: int) -> OnnxRuntimeBackend:
        """
        Open the very session that a robot's node opens.

        :raises BackendError: when ONNX Runtime refuses the graph, or it has other ends.
        """
        # All that the backend asks of a bundle, so that a student can be measured before packing.
        asked = SimpleNamespace(
            model_path=lambda _: self.graph, preprocess=self.preprocess, embedding_dim=self.dim
        )
        return OnnxRuntimeBackend(cast(Bundle, asked), threads=threads)


def open_student(name: str, path: Path) -> Student:
    """
    Open an output folder of ``edgevl export``, a bundle, or a graph inside of either.

    :raises DatasetError: naming the model, what is there instead, and the remedy.
    :raises BundleError: when it is a bundle that is damaged.
    """
    folder, graph = (path.parent, path.name) if path.suffix == '.onnx' else (path, None)
    manifest = _read_manifest(name, folder)
    if manifest.get('verb') == 'export':
        return _exported(name, folder, graph, read_manifest(folder, 'export'))
    if manifest.get('verb', 'pack') != 'pack':
        raise _refusal(
            name, folder, f'the output of "edgevl {manifest["verb"]}"',
            _EXPORT.format(folder=folder) if manifest['verb'] in ('distill', 'contrast')
            else 'name such a folder',
        )
    return _bundled(name, folder, graph, manifest)


def _read_manifest(name: str, folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise _refusal(name, folder, 'no such folder', 'check the path')
    if not (folder / MANIFEST).is_file():
        unfinished = (folder / IN_PROGRESS).is_file()
        raise _refusal(name, folder, *(
            ('an unfinished folder', 'give the command that makes it once more, and let it end')
            if unfinished else ('a folder without manifest.json', 'check the path')
        ))
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        found = f'a broken manifest.json ({error})'
        raise _refusal(name, folder, found, 'make it anew') from error
    return manifest if isinstance(manifest, dict) else {}


def _exported(name: str, folder: Path, graph: str | None, manifest: dict[str, Any]) -> Student:
    hashes = {entry['name']: entry['sha256'] for entry in manifest.get('files', [])}
    file = graph or next((known for known in _GRAPHS if known in hashes), '')
    if file not in hashes:
        raise _refusal(
            name, folder, f'an export of {", ".join(hashes) or "no file"}'
            + (f' without {graph}' if graph else ''), 'export it again',
        )
    path = _checked(name, folder, file, hashes[file])
    spec = _checked(name, folder, 'preprocess.yaml', hashes.get('preprocess.yaml'))
    try:
        teacher, student = manifest['teacher'], manifest['student']
        return Student(
            name=name, path=folder, graph=path,
            preprocess=PreprocessSpec.from_yaml(spec.read_text(encoding='utf-8')),
            dim=int(teacher['dim']), teacher=teacher['id'],
            teacher_name=teacher.get('name', teacher['id']),
            precision=_PRECISIONS.get(file, manifest.get('precision', 'int8')),
            sha256=hashes[file], size_bytes=_size_of(path),
            modalities=_LEARNED[manifest.get('modalities', 'both')],
            parameters=student.get('parameters'),
            second=(manifest.get('second_modality') or {}).get('name'),
            prompts=_prompts_of(manifest.get('lineage')),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _refusal(
            name, folder, f'an export whose manifest or preprocess.yaml lacks something: {error}',
            'export it again',
        ) from error


def _checked(name: str, folder: Path, file: str, sha256: str | None) -> Path:
    """Give the path of a file that is the one its manifest knows."""
    try:
        path = file_inside(folder, file)
    except FileNameError as error:
        raise _refusal(name, folder, str(error), 'export it again') from error
    if not path.is_file():
        raise _refusal(name, folder, f'an export without {file}', 'copy or export it again')
    if sha256 is not None and sha256_of(path) != sha256:
        raise _refusal(
            name, folder, f'another {file} than its manifest lists', 'copy or export it again'
        )
    return path


def _bundled(
    name: str, folder: Path, graph: str | None, manifest: Mapping[str, Any]
) -> Student:
    bundle = Bundle.open(folder)
    path = folder / graph if graph else bundle.model_path('onnxruntime')
    listed = manifest['files'].get(path.name)
    if listed is None:
        raise _refusal(name, folder, f'a bundle without {path.name}', 'name a file that it has')
    student = manifest['student']
    parameters = student.get('parameters')
    return Student(
        name=name, path=folder, graph=path, preprocess=bundle.preprocess,
        dim=bundle.embedding_dim, teacher=bundle.teacher,
        teacher_name=manifest['teacher'].get('name', bundle.teacher),
        precision=_PRECISIONS.get(path.name, str(student.get('precision', 'int8'))),
        sha256=listed['sha256'], size_bytes=_size_of(path),
        modalities=tuple(modality.value for modality in bundle.modalities),
        parameters=parameters if isinstance(parameters, int) else None,
        bank=bundle.phrases, labels=bundle.vocabulary.labels,
        prompts=_prompts_of((manifest.get('lineage') or {}).get('verbs')),
    )


def _prompts_of(verbs: Any) -> str | None:
    """Find in what a student comes from which sentences ``curate`` put around phrases."""
    for verb in verbs if isinstance(verbs, list) else []:
        if isinstance(verb, dict) and verb.get('verb') == 'curate':
            prompts = (verb.get('recipe') or {}).get('prompts')
            return prompts if isinstance(prompts, str) else None
    return None


def _size_of(graph: Path) -> int:
    others = external_files(graph.read_bytes())
    return sum(file.stat().st_size for file in (graph, *(graph.parent / name for name in others)))


def _refusal(name: str, folder: Path, found: str, remedy: str) -> DatasetError:
    return DatasetError(
        f'--models {name}={folder}: expected the finished output of "edgevl export" or a bundle, '
        f'found {found}; {remedy}'
    )
