# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``pack``: an exported student becomes a bundle, the folder that goes to the robot.

What comes out has been opened once as the robot opens it: schema, hashes, and golden frames on
the runtime that will run it.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import shlex
from typing import Annotated, Any

from edgevl_ros.core.errors import BundleError
from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.errors import OtherOutputError
from edgevl_training.output import MANIFEST, read_manifest
from edgevl_training.recipe import parse, Recipe
from pydantic import Field, field_validator, model_validator

_Weight = Annotated[float, Field(ge=0, le=1)]


class PackRecipe(Recipe):
    """
    Pack an exported INT8 student with its words into a bundle that the robot runs.

    The bundle knows the phrases that pairs were curated with, those of --vocabulary, and some
    3,000 rooms, buildings, outdoor places, kinds of land and objects.
    """

    exported: Path = Field(description='output folder of edgevl export, of an INT8 student')
    out: Path = Field(description='folder of the bundle')
    evaluated: Path | None = Field(
        None, description='output folder of edgevl evaluate, whose numbers go into the bundle'
    )
    curated: Path | None = Field(
        None, description='output folder of edgevl curate (default: where the manifests lead)'
    )
    vocabulary: tuple[str, ...] = Field(
        (), description='the labels that the robot begins with: phrases, or a text file with one '
        'a line (default: the pseudo-labels that curated pairs have)',
    )
    name: str | None = Field(None, description="of the bundle (default: its folder's)")
    fusion: tuple[_Weight, _Weight] | None = Field(
        None, description='weights of colour and of the second modality where a frame has both '
        '(default: 1 1 for a student of both, else 1 for the one it knows)',
    )
    golden_pairs: Path | None = Field(
        None, description='take golden frames from this output folder of edgevl extract; they are '
        'pictures that everyone who has the bundle can look at (default: free photographs)',
    )
    teacher: str | None = Field(
        None, description='name of the teacher for the words, where it is called otherwise than '
        'when it embedded the pictures',
    )
    license: str = Field('not stated', description='of the bundle')  # noqa: A003

    @field_validator('name')
    @classmethod
    def _is_printable(cls, name: str | None) -> str | None:
        if name is not None and (not name.strip() or not name.isprintable()):
            raise ValueError('expected a printable name')
        return name

    @model_validator(mode='after')
    def _weighs_something(self) -> PackRecipe:
        if self.fusion is not None and not sum(self.fusion) > 0:
            raise ValueError('--fusion: expected a weight above 0')
        return self


def run(arguments: list[str]) -> int:
    """Pack."""
    from edgevl_training.cli import VERBS
    from edgevl_training.packing.contents import read_exported
    from edgevl_training.packing.words import read_labels

    recipe = parse(PackRecipe, 'pack', arguments, list(VERBS))
    exported = read_exported(recipe.exported)
    labels = read_labels(recipe.vocabulary) if recipe.vocabulary else None
    purpose = _purpose(recipe, labels)
    if recipe.out.exists():
        _check_same(recipe.out, purpose)
        print(f'{recipe.out}: finished earlier, nothing to do')
    else:
        _pack(recipe, exported, labels, purpose)
    return _summarise(recipe.out)


def _purpose(recipe: PackRecipe, labels: tuple[str, ...] | None) -> dict[str, Any]:
    """Say what decides the content, as JSON values."""
    read = (
        ('exported', 'export', recipe.exported), ('evaluated', 'evaluate', recipe.evaluated),
        ('curated', 'curate', recipe.curated), ('golden_pairs', 'extract', recipe.golden_pairs),
    )
    return {
        # The folders may be moved; what they hold is in their manifests.
        **{name: _identity(folder, verb) if folder else None for name, verb, folder in read},
        'vocabulary': list(labels) if labels else None,
        'name': recipe.name or recipe.out.resolve().name,
        'fusion': list(recipe.fusion) if recipe.fusion else None,
        'license': recipe.license,
    }


def _identity(folder: Path, verb: str) -> str:
    read_manifest(folder, verb)
    return sha256_of(folder / MANIFEST)


def _check_same(out: Path, purpose: Mapping[str, Any]) -> None:
    """
    See that what is there is the bundle asked for, and whole.

    :raises OtherOutputError: when it is another one, or no bundle.
    """
    from edgevl_ros.core.bundle import Bundle

    try:
        packed = json.loads((out / MANIFEST).read_text(encoding='utf-8'))['lineage']['pack']
        Bundle.open(out)
    except BundleError as error:
        raise OtherOutputError(f'{error}; or remove {out} and pack again') from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OtherOutputError(
            f'{out}: expected nothing or a bundle of "edgevl pack", found something else; name '
            'another --out'
        ) from error
    differences = [key for key, value in purpose.items() if packed.get(key) != value]
    if differences:
        listed = '\n'.join(
            f'  {key.replace("_", " ")}: there {packed.get(key)}, asked {purpose[key]}'
            for key in differences
        )
        raise OtherOutputError(
            f'{out} holds another bundle; name another --out, or remove it. What differs:\n'
            f'{listed}'
        )


def _pack(
    recipe: PackRecipe, exported: dict[str, Any], labels: tuple[str, ...] | None,
    purpose: dict[str, Any],
) -> None:
    """Put the files together, write them, and open the bundle before it takes its name."""
    from edgevl_training.packing import contents, golden
    from edgevl_training.packing.files import npz, write_bundle
    from edgevl_training.packing.lineage import folders_before, sources_of
    from edgevl_training.packing.model_card import model_card
    import numpy as np

    folders = folders_before(recipe.exported)
    if recipe.curated:
        folders['curate'] = recipe.curated
    metrics = contents.metrics_of(recipe.evaluated, exported)
    bank, vocabulary = contents.words_of(
        exported, folders.get('curate'), labels, recipe.teacher
    )
    spec = PreprocessSpec.from_yaml(exported['preprocess'])
    modalities = contents.modalities_of(exported)
    frames = (
        golden.frames_of_pairs(recipe.golden_pairs) if recipe.golden_pairs
        else golden.photographed_frames(spec)
    )
    graphs = contents.graphs_of(recipe.exported)
    manifest = contents.manifest_of(
        exported, {**purpose, 'fusion': contents.fusion_of(recipe.fusion, modalities)},
        modalities, sources_of(folders),
    )
    write_bundle(
        recipe.out,
        {
            **graphs,
            'preprocess.yaml': exported['preprocess'].encode(),
            'vocabulary.npz': npz(vocabulary.arrays('labels', np.float32)),
            'phrases.npz': npz(bank.arrays('phrases', np.float16)),
            'golden.npz': npz(golden.golden_arrays(
                frames, spec, contents.runner_of(recipe.exported), modalities,
            )),
            'metrics.json': (json.dumps(metrics, indent=2) + '\n').encode(),
            'MODEL_CARD.md': model_card(
                manifest, metrics, vocabulary.labels, len(bank.labels)
            ).encode(),
        },
        {**manifest, 'lineage': {**manifest['lineage'], 'pack': purpose}},
        check=contents.check_bundle,
    )


def _summarise(out: Path) -> int:
    """Print what came out; give the exit status."""
    manifest = json.loads((out / MANIFEST).read_text(encoding='utf-8'))
    size = sum(file.stat().st_size for file in out.iterdir())
    print(
        f'{out}: {manifest["name"]}, {size / 1e6:.1f} MB, {manifest["student"]["architecture"]}, '
        f'{" and ".join(manifest["modalities"])}; golden frames hold\n'
        f'{launch_command(out)}'
    )
    return 0


def launch_command(bundle: Path) -> str:
    """Give the command that runs a bundle on a robot."""
    path = shlex.quote(str(bundle.resolve()))
    return f'ros2 launch edgevl_ros perception.launch.py bundle:={path}'
