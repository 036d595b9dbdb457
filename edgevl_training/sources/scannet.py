# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
ScanNet (Dai et al., CVPR 2017): recorded streams, or frames exported from them.

    <scene>/<scene>.sens                             or
    <scene>/color/<frame>.jpg  <scene>/depth/<frame>.png

anywhere below the folder, as in scans/ and scannet_frames_25k/, with <scene>/<scene>.txt for the
scene type. Each scene is a source. Scans of one space (scene0000_00, scene0000_01) are one bag,
the scan its timeline: a split that put them apart would test on rooms that were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path
import re

from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import by_stem, inside, lose_linked_folders, natural_order
from edgevl_training.sources.pictures import SUFFIXES
from edgevl_training.sources.scannet_stream import ScanNetStream
from edgevl_training.sources.source import Source
from edgevl_training.sources.still_images import Lost, matched, SECOND_NS, Still, StillImages

# The sensor's rate; exported frames are named by their number in the stream.
_FRAMES_PER_S = 30
_SCAN = re.compile(r'(scene[0-9]{4})_([0-9]{2})')
_SCENE_TYPE = re.compile(r'\s*sceneType\s*=\s*(.+?)\s*')
_MOST_LINES = 1000


def open_sources(path: Path, *, name: str | None = None) -> list[Source]:  # noqa: ARG001
    """
    Open ScanNet, or some scenes of it, as one source for each scene.

    Scenes have names of their own, so that ``name`` is not used. A scene that has both exported
    frames and its stream is read from the frames.

    :raises SourceError: when there is no scene, or one is there twice.
    """
    root = path.resolve()
    if root.is_file():
        return [_stream(root.parent, root, root.stem)]
    losses: list[Lost] = []
    folders: dict[str, Path] = {}
    for folder in _scene_folders(root, lambda item, reason: losses.append((item, reason))):
        if folder.name in folders:
            raise SourceError(f'{root}: expected each scene once, found {folders[folder.name]} '
                              f'and {folder}; name the folder of one of them')
        folders[folder.name] = folder
    if not folders:
        raise SourceError(
            f'{root}: expected scenes with color/*.jpg and depth/*.png, as SensReader exports '
            'them, or <scene>/<scene>.sens; found neither'
        )
    sources = []
    for scene in sorted(folders, key=natural_order):
        sources.append(_scene(root, folders[scene], losses))
        losses = []  # told once, with the first source
    return sources


def _scene_folders(root: Path, lose: Callable[[str, str], None]) -> Iterator[Path]:
    for directory, folders, files in os.walk(root):
        here = Path(directory)
        if {'color', 'depth'} <= set(folders) or f'{here.name}.sens' in files:
            folders.clear()
            yield here
        folders.sort()
        lose_linked_folders(root, here, folders, lose)


def _scene(root: Path, folder: Path, losses: list[Lost]) -> Source:
    if (folder / 'color').is_dir():
        return _exported(root, folder, losses)
    return _stream(root, folder / f'{folder.name}.sens', folder.name, losses)


def _stream(root: Path, path: Path, scene: str, losses: list[Lost] | None = None) -> Source:
    if not inside(root, path):
        raise SourceError(f'{path}: expected a file inside {root}, found a link that leads out of '
                          'it; copy it there')
    bag, timeline = _bag(scene)
    return ScanNetStream(scene, path, bag, timeline, _scene_type(root, path.parent, scene),
                         losses or ())


def _exported(root: Path, folder: Path, losses: list[Lost]) -> Source:
    lost = list(losses)

    def lose(item: str, reason: str) -> None:
        lost.append((item, reason))

    for part in ('color', 'depth'):
        if not inside(root, folder / part):
            raise SourceError(f'{folder / part}: expected a folder inside {root}, found a link '
                              'that leads out of it; copy it there')
    colors = by_stem(root, folder / 'color', SUFFIXES, lose)
    depths = by_stem(root, folder / 'depth', SUFFIXES, lose)
    frames = list(matched(colors, depths, 'depth', lose))
    bag, timeline = _bag(folder.name)
    truth = _scene_type(root, folder, folder.name)
    stills = [
        Still(color, depth, bag, stamp_ns, truth, timeline)
        for (_, color, depth), stamp_ns in zip(frames, _stamps([stem for stem, _, _ in frames]))
    ]
    return StillImages(folder.name, root, stills, SecondModality(), lost)


def _stamps(stems: list[str]) -> list[int]:
    """Count time by frame numbers; by seconds where the names are none."""
    if all(re.fullmatch('[0-9]{1,9}', stem) for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return [number * SECOND_NS // _FRAMES_PER_S for number in numbers]
    return [index * SECOND_NS for index in range(len(stems))]


def _bag(scene: str) -> tuple[str, int]:
    """Give the space of a scan and which scan of it this is."""
    match = _SCAN.fullmatch(scene)
    return (match[1], int(match[2])) if match else (scene, 0)


def _scene_type(root: Path, folder: Path, scene: str) -> str | None:
    """Read ``sceneType = Bedroom / Hotel`` beside the frames, or in scans/ beside other parts."""
    for path in (folder / f'{scene}.txt', root / 'scans' / scene / f'{scene}.txt'):
        if inside(root, path) and path.is_file():
            with path.open(encoding='utf-8', errors='replace') as stream:
                for _ in range(_MOST_LINES):
                    match = _SCENE_TYPE.fullmatch(stream.readline(10_000).rstrip('\n'))
                    if match:
                        return match[1]
    return None
