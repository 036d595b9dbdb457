# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Open and verify a bundle: the folder that carries a student and its words to a robot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any
import zipfile

from edgevl_ros.core.backend import Backend
from edgevl_ros.core.errors import BundleError, FileNameError
from edgevl_ros.core.files import file_inside, sha256_of
from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.onnx_files import external_files
from edgevl_ros.core.preprocess import model_input, PreprocessSpec
from edgevl_ros.core.vocabulary import (
    canonical_phrase,
    check_unit_rows,
    PhraseBank,
    Vocabulary,
)
import numpy as np
from numpy.typing import NDArray

SCHEMA = 1
STARTER = Path(__file__).parents[1] / 'bundles' / 'starter'

MAX_MANIFEST_BYTES = 1 << 20
MAX_ARRAYS_BYTES = 1 << 31
# A grey level is 1/255 of the range; other builds of OpenCV round a resized pixel differently.
GOLDEN_GREY_LEVELS = 3.0

_KEYS = {
    'schema': int, 'name': str, 'teacher': dict, 'student': dict, 'embedding_dim': int,
    'input_size': int, 'modalities': list, 'fusion': dict, 'cosine_floor': float,
    'models': dict, 'files': dict,
}
_REQUIRED_FILES = ('preprocess.yaml', 'vocabulary.npz', 'phrases.npz', 'golden.npz')


@dataclass(frozen=True)
class Golden:
    """
    Frames whose network input and embeddings were recorded when the bundle was made.

    ``inputs`` is float32 (N, 3, S, S) and ``embeddings`` float32 (N, D) for each modality.
    """

    frames: tuple[Frame, ...]
    inputs: Mapping[Modality, NDArray[np.float32]]
    embeddings: Mapping[Modality, NDArray[np.float32]]


@dataclass(frozen=True)
class Bundle:
    """
    An opened bundle: its manifest checked, every file's hash verified, its parts loaded.

    ``fusion`` gives the weight of each modality when a frame has both; ``models`` maps a backend
    to the path of the graph that it runs.
    """

    path: Path
    name: str
    teacher: str
    embedding_dim: int
    modalities: tuple[Modality, ...]
    fusion: Mapping[Modality, float]
    cosine_floor: float
    models: Mapping[str, Path]
    preprocess: PreprocessSpec
    vocabulary: Vocabulary
    phrases: PhraseBank
    golden: Golden

    @classmethod
    def open(cls, path: str | Path) -> Bundle:  # noqa: A003
        """
        Open the bundle in a folder; an empty path opens the starter bundle.

        :raises BundleError: one sentence that says what is wrong with which file, and the remedy.
        """
        with _reading(Path(path), 'a bundle', 'give the path of a readable and whole bundle'):
            return cls._open(Path(path).expanduser() if str(path) else STARTER)

    @classmethod
    def _open(cls, folder: Path) -> Bundle:
        manifest = _read_manifest(folder)
        files = _verified_files(folder, manifest['files'])
        preprocess = _read_preprocess(files['preprocess.yaml'], manifest['input_size'])
        modalities = _modalities(manifest['modalities'], folder)
        dim = manifest['embedding_dim']
        vocabulary = _read_vocabulary(files['vocabulary.npz'], dim)
        phrases = _read_phrases(files['phrases.npz'], dim)
        return cls(
            path=folder,
            name=manifest['name'],
            teacher=_teacher(manifest['teacher'], vocabulary, phrases, folder),
            embedding_dim=dim,
            modalities=modalities,
            fusion=_fusion(manifest['fusion'], modalities, folder),
            cosine_floor=manifest['cosine_floor'],
            models=_models(manifest['models'], files, folder),
            preprocess=preprocess,
            vocabulary=vocabulary,
            phrases=phrases,
            golden=_read_golden(files['golden.npz'], modalities, preprocess.input_size, dim),
        )

    def model_path(self, backend: str) -> Path:
        """
        Give the graph made for a backend.

        :raises BundleError: when the bundle has none for it.
        """
        if backend not in self.models:
            raise BundleError(
                f'{self.path}: expected a model for {backend}, found models for '
                f'{sorted(self.models)}; export the bundle again or choose another backend'
            )
        return self.models[backend]


def check_golden(bundle: Bundle, backend: Backend) -> float:
    """
    Run the golden frames on a backend and compare with what was recorded.

    Inputs must agree within a few grey levels and embeddings to the bundle's cosine floor.

    :returns: the lowest cosine found.
    :raises BundleError: when this robot would not see what the bundle's maker saw.
    """
    lowest = 1.0
    for modality in bundle.modalities:
        inputs = np.concatenate(
            [model_input(bundle.preprocess, frame, [modality]) for frame in bundle.golden.frames]
        )
        _check_golden_inputs(bundle, modality, inputs)
        embeddings = backend.embed(inputs)
        cosines = np.sum(embeddings * bundle.golden.embeddings[modality], axis=1)
        # Python's min would drop a NaN.
        lowest = float(np.minimum(lowest, cosines.min()))
    if not lowest >= bundle.cosine_floor:
        raise BundleError(
            f'{bundle.path}: golden frames on {backend.name}: expected a cosine of at least '
            f'{bundle.cosine_floor}, found {lowest:.4f}; this runtime computes something else '
            'than the bundle was made with: update it, or choose another backend'
        )
    return lowest


def _check_golden_inputs(
    bundle: Bundle, modality: Modality, inputs: NDArray[np.float32]
) -> None:
    spec = bundle.preprocess
    std = min(spec.rgb.std) if modality is Modality.RGB else spec.depth.std
    tolerance = GOLDEN_GREY_LEVELS / (255 * std)
    # Averaged, because one pixel at an edge may round either way.
    difference = float(np.abs(inputs - bundle.golden.inputs[modality]).mean())
    if not difference <= tolerance:
        raise BundleError(
            f'{bundle.path}: golden {modality.value} frames: expected network inputs within '
            f'{tolerance:.4f} of the recorded ones, found a mean difference of {difference:.4f}; '
            'preprocess.yaml or OpenCV differs from what the bundle was made with'
        )


@contextmanager
def _reading(
    path: Path, expected: str, remedy: str = 'copy or export the bundle again'
) -> Iterator[None]:
    """Tell in one sentence whatever the reader of a broken file raises."""
    try:
        yield
    except BundleError:
        raise
    except Exception as error:  # noqa: B902 - zip, zlib, JSON, YAML and NumPy share no base
        found = ' '.join(str(error).split()).rstrip('.') or type(error).__name__
        raise BundleError(f'{path}: expected {expected}: {found}; {remedy}') from error


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / 'manifest.json'
    if not folder.is_dir():
        raise BundleError(
            f'{folder}: expected a bundle folder, found none; give the path of a bundle, or leave '
            'it empty for the starter bundle'
        )
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f'{path}: expected at most {MAX_MANIFEST_BYTES} bytes, found more')
        text = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f'{path}: expected a readable manifest, found {error.strerror}; '
            'is this folder a bundle, and was it copied whole?'
        ) from error
    with _reading(path, 'JSON'):
        manifest = json.loads(text.decode('utf-8'))
    if not isinstance(manifest, dict):
        raise BundleError(f'{path}: expected a JSON object, found {type(manifest).__name__}')
    _check_manifest(path, manifest)
    return manifest


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    if manifest.get('schema') != SCHEMA:
        raise BundleError(
            f'{path}: expected bundle schema {SCHEMA}, found {manifest.get("schema")!r}; '
            'install the edgevl_ros that made this bundle, or export it again with this one'
        )
    for key, kind in _KEYS.items():
        value = manifest.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BundleError(
                f'{path}: {key}: expected {kind.__name__}, found {value!r}; '
                'export the bundle again'
            )
    if not 0 < manifest['cosine_floor'] <= 1:
        raise BundleError(
            f'{path}: cosine_floor: expected a number above 0 and at most 1, '
            f'found {manifest["cosine_floor"]}; export the bundle again'
        )
    missing = [name for name in _REQUIRED_FILES if name not in manifest['files']]
    if missing:
        raise BundleError(
            f'{path}: files: expected {", ".join(missing)} to be listed; export the bundle again'
        )


def _verified_files(folder: Path, listed: Mapping[str, Any]) -> dict[str, Path]:
    """Check name, size and hash of every listed file before anything reads it."""
    return {name: _verified_file(folder, name, entry) for name, entry in listed.items()}


def _verified_file(folder: Path, name: str, entry: object) -> Path:
    try:
        path = file_inside(folder, name)
    except FileNameError as error:
        raise BundleError(str(error)) from error
    if not isinstance(entry, dict) or not {'sha256', 'bytes'} <= set(entry):
        raise BundleError(
            f'{folder / "manifest.json"}: files: {name}: expected sha256 and bytes, '
            f'found {entry!r}; export the bundle again'
        )
    try:
        size = path.stat().st_size
        digest = sha256_of(path) if size == entry['bytes'] else None
    except OSError as error:
        raise BundleError(
            f'{path}: expected a readable file, found {error.strerror}; copy the bundle again'
        ) from error
    if digest != entry['sha256']:
        raise BundleError(
            f'{path}: expected {entry["bytes"]} bytes with sha256 {entry["sha256"]}, found '
            f'{size} bytes with {digest or "another size"}; the file was cut or changed: '
            'copy the bundle again'
        )
    return path


def _read_preprocess(path: Path, input_size: int) -> PreprocessSpec:
    with _reading(path, 'a preprocess spec'):
        spec = PreprocessSpec.from_yaml(path.read_text(encoding='utf-8'))
    if spec.input_size != input_size:
        raise BundleError(
            f'{path}: expected input_size {input_size} as in the manifest, '
            f'found {spec.input_size}; export the bundle again'
        )
    return spec


def _modalities(names: list[Any], folder: Path) -> tuple[Modality, ...]:
    try:
        modalities = tuple(Modality(name) for name in names)
    except ValueError as error:
        raise BundleError(
            f'{folder / "manifest.json"}: modalities: {error}; expected rgb, depth or both'
        ) from error
    if not modalities or len(set(modalities)) != len(modalities):
        raise BundleError(
            f'{folder / "manifest.json"}: modalities: expected rgb, depth or both, found {names}'
        )
    return modalities


def _fusion(
    weights: Mapping[str, Any], modalities: tuple[Modality, ...], folder: Path
) -> dict[Modality, float]:
    fusion = {}
    for modality in modalities:
        weight = weights.get(modality.value)
        if not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
            raise BundleError(
                f'{folder / "manifest.json"}: fusion: {modality.value}: expected a weight in '
                f'0..1, found {weight!r}; export the bundle again'
            )
        fusion[modality] = float(weight)
    if not sum(fusion.values()) > 0:
        raise BundleError(
            f'{folder / "manifest.json"}: fusion: expected a weight above 0, found {weights}'
        )
    return fusion


def _models(models: Mapping[str, Any], files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    unlisted = [
        name for name in models.values() if not isinstance(name, str) or name not in files
    ]
    if unlisted or not models:
        raise BundleError(
            f'{folder / "manifest.json"}: models: expected names of listed files, '
            f'found {unlisted or "none"}; export the bundle again'
        )
    for name in sorted(set(models.values())):
        _check_external_files(files[name], files)
    return {backend: files[name] for backend, name in models.items()}


def _check_external_files(model: Path, files: Mapping[str, Path]) -> None:
    """Keep a runtime from reading weights that lie outside the bundle or have no hash."""
    with _reading(model, 'an ONNX graph'):
        unlisted = external_files(model.read_bytes()) - set(files)
    if unlisted:
        raise BundleError(
            f'{model}: expected weights in this file or in files that the manifest lists, found '
            f'them in {sorted(unlisted)}; do not use this bundle unless you trust who made it'
        )


def _teacher(
    teacher: Mapping[str, Any], vocabulary: Vocabulary, phrases: PhraseBank, folder: Path
) -> str:
    """Check that all embeddings come from one teacher: others cannot be compared."""
    found = {
        'manifest.json': teacher.get('id'),
        'vocabulary.npz': vocabulary.teacher,
        'phrases.npz': phrases.teacher,
    }
    if len({repr(name) for name in found.values()}) > 1:
        names = ', '.join(f'{name!r} in {file}' for file, name in found.items())
        raise BundleError(
            f'{folder}: expected the same teacher everywhere, found {names}; '
            'export the bundle again'
        )
    return vocabulary.teacher


def _read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read arrays without pickle and without unpacking more than a robot's memory holds."""
    with _reading(path, 'arrays without pickle'):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_ARRAYS_BYTES:
            raise BundleError(f'{path}: expected at most {MAX_ARRAYS_BYTES} bytes unpacked, '
                              f'found {unpacked}; do not use this bundle')
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive]
            if missing:
                raise BundleError(
                    f'{path}: expected the arrays {missing}, found {sorted(archive)}; '
                    'export the bundle again'
                )
            return {name: archive[name] for name in names}


def _read_vocabulary(path: Path, dim: int) -> Vocabulary:
    arrays = _read_arrays(path, ('labels', 'embeddings', 'logit_scale', 'teacher'))
    _check_embeddings(path, arrays['embeddings'], dim)
    with _reading(path, 'a vocabulary'):
        return Vocabulary(
            tuple(str(label) for label in arrays['labels']),
            arrays['embeddings'],
            float(arrays['logit_scale']),
            str(arrays['teacher']),
        )


def _read_phrases(path: Path, dim: int) -> PhraseBank:
    arrays = _read_arrays(path, ('phrases', 'embeddings', 'logit_scale', 'teacher'))
    _check_embeddings(path, arrays['embeddings'], dim)
    with _reading(path, 'phrases'):
        bank = PhraseBank(
            {str(phrase): row for row, phrase in enumerate(arrays['phrases'])},
            arrays['embeddings'],
            float(arrays['logit_scale']),
            str(arrays['teacher']),
        )
    for phrase in bank.index:
        # Words are looked up in this spelling, so any other could never be found.
        if phrase != canonical_phrase(phrase):
            raise BundleError(
                f'{path}: expected phrases spelled like {canonical_phrase(phrase)!r}, '
                f'found {phrase!r}; export the bundle again'
            )
    return bank


def _check_embeddings(path: Path, embeddings: NDArray[Any], dim: int) -> None:
    if embeddings.dtype.kind != 'f' or embeddings.ndim != 2 or embeddings.shape[1] != dim:
        raise BundleError(
            f'{path}: expected embeddings with {dim} columns as in the manifest, '
            f'found {embeddings.dtype} of shape {embeddings.shape}; export the bundle again'
        )


def _read_golden(
    path: Path, modalities: tuple[Modality, ...], input_size: int, dim: int
) -> Golden:
    names = [f'{m.value}_{kind}' for m in modalities for kind in ('input', 'embedding')]
    arrays = _read_arrays(path, ('rgb', 'depth_mm', *names))
    count = _count_golden_frames(path, arrays['rgb'], arrays['depth_mm'])
    for m in modalities:
        inputs, embeddings = f'{m.value}_input', f'{m.value}_embedding'
        _check_golden_array(path, arrays[inputs], inputs, (count, 3, input_size, input_size))
        _check_golden_array(path, arrays[embeddings], embeddings, (count, dim))
        with _reading(path, 'recorded embeddings'):
            check_unit_rows(embeddings, arrays[embeddings])
    with _reading(path, 'golden frames'):
        frames = tuple(
            Frame(stamp_ns=i, frame_id='golden', rgb=rgb, depth=_metres(depth_mm))
            for i, (rgb, depth_mm) in enumerate(zip(arrays['rgb'], arrays['depth_mm']))
        )
    return Golden(
        frames,
        {m: arrays[f'{m.value}_input'].astype(np.float32) for m in modalities},
        {m: arrays[f'{m.value}_embedding'].astype(np.float32) for m in modalities},
    )


def _count_golden_frames(path: Path, rgb: NDArray[Any], depth_mm: NDArray[Any]) -> int:
    fits = rgb.dtype == np.uint8 and rgb.ndim == 4
    fits = fits and depth_mm.dtype == np.uint16 and depth_mm.ndim == 3
    if not fits or len(rgb) != len(depth_mm) or not len(rgb):
        raise BundleError(
            f'{path}: expected at least one frame, as many in rgb, uint8 (N, H, W, 3), as in '
            f'depth_mm, uint16 (N, H, W); found {rgb.dtype} {rgb.shape} and '
            f'{depth_mm.dtype} {depth_mm.shape}; export the bundle again'
        )
    return len(rgb)


def _check_golden_array(
    path: Path, array: NDArray[Any], name: str, shape: tuple[int, ...]
) -> None:
    if array.dtype.kind != 'f' or array.shape != shape:
        raise BundleError(
            f'{path}: {name}: expected floating point of shape {shape}, '
            f'found {array.dtype} of shape {array.shape}; export the bundle again'
        )


def _metres(depth_mm: NDArray[np.uint16]) -> NDArray[np.float32]:
    metres = depth_mm.astype(np.float32) / np.float32(1000)
    metres[depth_mm == 0] = np.nan
    return metres
