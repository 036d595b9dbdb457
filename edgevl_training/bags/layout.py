# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Which files make up a bag, and where there are bags.

A folder with metadata.yaml is one bag. In a folder without it, the parts that rosbag2 wrote of one
recording (drive_0.mcap, drive_1.mcap, ...) are one bag, which goes by the path of the folder, or
as folder/drive where the folder holds others too; every other file is a bag of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
import os
from pathlib import Path, PurePath
import re
from typing import Any

from edgevl_training.bags.mcap_file import McapFile
from edgevl_training.bags.packed_file import PackedFile
from edgevl_training.bags.ros1_file import Ros1File
from edgevl_training.bags.sqlite_file import SqliteFile
from edgevl_training.bags.storage import Channel, Lose, normalized, StorageFile
from edgevl_training.bags.time_order import TimeOrderedFile
from edgevl_training.errors import SourceError
import yaml

METADATA = 'metadata.yaml'
# Files that are always a bag by themselves, and those that may be part of one.
_ROS1_ENDINGS = ('.bag', '.bag.active', '.bag.zstd')
_ROS2_ENDINGS = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
# How rosbag2 names the parts of a recording: from 0, without leading zeros, unlike dates.
_PART = re.compile(r'(?P<recording>.+)_(?P<number>0|[1-9]\d*)\.(?:mcap|db3)(?:\.zstd)?')
_MAX_METADATA_BYTES = 64 << 20
_EXPECTED = (
    'expected a rosbag2 folder, an .mcap or .db3 file (also with .zstd), or a ROS 1 .bag file'
)


@dataclass
class Metadata:
    """
    What a folder's metadata.yaml says, as far as it can be read.

    ``starts_ns`` is when each file begins, by the name of the file without .zstd.
    """

    names: list[str] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    starts_ns: dict[str, int] = field(default_factory=dict)


def find_bags(paths: Iterable[Path | str]) -> list[Path]:
    """
    Find the bags in some paths, sorted, each once.

    A path is a bag, or a folder with bags at any depth. What lies in a folder is told by names
    alone: a file or a folder that cannot be read is among the bags, and `open_bag` says why.

    :raises SourceError: a path holds none.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        try:
            bags = list(_bags_at(path))
        except OSError as error:
            raise SourceError(
                f'{path}: expected bags or folders of bags, found that the system refuses to list '
                f'them ({error}); check the permissions') from error
        if not bags:
            raise SourceError(
                f'no bag at {path}: {_EXPECTED}, or a folder with such bags below; found '
                f'{_what_is(path)}; check the path')
        for bag in bags:
            found.setdefault(bag.resolve(), bag)
    return sorted(found.values())


def bag_name(path: Path) -> str:
    """Name a bag by its folder, or by its file without the ending."""
    if path.is_file():
        for ending in sorted(_ROS1_ENDINGS + _ROS2_ENDINGS, key=len, reverse=True):
            if path.name.endswith(ending):
                return path.name.removesuffix(ending)
    return path.resolve().name


def files_of(path: Path, lose: Lose) -> tuple[list[Path], Metadata]:
    """
    List the files of a bag in the order of recording, and read its metadata where it has some.

    :param lose: told of listed files that are not there, and of unreadable metadata.
    :raises SourceError: there is no bag, or more than one.
    """
    if path.is_file() and path.name.endswith(_ROS1_ENDINGS + _ROS2_ENDINGS):
        return [path], Metadata()
    if not path.exists() and (files := _parts_named(path)):
        return files, Metadata()
    if path.is_dir():
        by_stem = _unpacked_first(path.iterdir())
        if (path / METADATA).is_file():
            return _files_by_metadata(path, by_stem, lose)
        recordings = _recordings(path, by_stem)
        if len(recordings) > 1:
            raise SourceError(
                f'{path}: expected one recording in a folder without {METADATA}, found '
                f'{len(recordings)} ({", ".join(sorted(p.name for p in recordings)[:5])}); '
                'name one of them')
        if recordings:
            return next(iter(recordings.values())), Metadata()
    raise SourceError(
        f'no bag at {path}: {_EXPECTED}; found {_what_is(path)}; check the path')


def open_file(path: Path) -> StorageFile:
    """Choose the reader of a file by its name."""
    if path.name.endswith('.zstd'):
        return PackedFile(path, open_file)
    if path.name.endswith(_ROS1_ENDINGS):
        return TimeOrderedFile(path, Ros1File)
    return TimeOrderedFile(path, McapFile if path.name.endswith('.mcap') else SqliteFile)


def _bags_at(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from _below(path)
    elif path.is_file():
        yield from [path] if path.name.endswith(_ROS1_ENDINGS + _ROS2_ENDINGS) else []
    elif _parts_named(path):
        yield path


def _below(path: Path) -> Iterator[Path]:
    # A folder that cannot be listed may be one bag of many.
    unlisted: list[Path] = []
    for name, folders, files in os.walk(path, onerror=lambda e: unlisted.append(Path(e.filename))):
        folders.sort()
        folder = Path(name)
        yield from (folder / file for file in sorted(files) if file.endswith(_ROS1_ENDINGS))
        if METADATA in files:
            yield folder
        else:
            recordings = _recordings(folder, _unpacked_first(folder / file for file in files))
            yield from [folder] if _is_one_of_rosbag2(recordings) else recordings
    if path in unlisted:
        next(path.iterdir(), None)  # raises it again
    yield from unlisted


def _unpacked_first(paths: Iterable[Path]) -> dict[str, Path]:
    """Give the files of rosbag2 by their names without .zstd."""
    by_stem: dict[str, Path] = {}
    # An unpacked file counts for its packed form: packing may not have finished.
    for path in sorted(paths, key=lambda p: p.name.endswith('.zstd')):
        if path.name.endswith(_ROS2_ENDINGS) and not path.is_dir():
            by_stem.setdefault(path.name.removesuffix('.zstd'), path)
    return by_stem


def _recordings(folder: Path, by_stem: dict[str, Path]) -> dict[Path, list[Path]]:
    """Tell the recordings in a folder without metadata apart: path and files of each."""
    parts: dict[str, list[Path]] = {}
    for stem in sorted(by_stem, key=_natural):
        if part := _PART.fullmatch(stem):
            parts.setdefault(part['recording'], []).append(by_stem[stem])
    recordings = {}
    for stem, path in sorted(by_stem.items()):
        part = _PART.fullmatch(stem)
        files = parts[part['recording']] if part else []
        if part and len(files) > 1 and _belong_together(folder, part['recording'], files):
            recordings[folder / part['recording']] = files
        else:
            recordings[path] = [path]
    return recordings


def _belong_together(folder: Path, recording: str, files: list[Path]) -> bool:
    """Tell parts that rosbag2 wrote from other files with a number at the end."""
    numbers = [part['number'] for file in files if (part := _PART.fullmatch(file.name))]
    # Neither two formats nor another bag may go by the same path.
    return '0' in numbers and len(set(numbers)) == len(files) and not (folder / recording).exists()


def _is_one_of_rosbag2(recordings: dict[Path, list[Path]]) -> bool:
    """Whether a folder holds nothing but a recording of rosbag2, which then goes by its name."""
    if len(recordings) != 1:
        return False
    part = _PART.fullmatch(next(iter(recordings.values()))[0].name)
    return part is not None and part['number'] == '0'


def _parts_named(path: Path) -> list[Path]:
    """List the parts of the recording that goes by the path of its files without numbers."""
    if not path.parent.is_dir():
        return []
    return _recordings(path.parent, _unpacked_first(path.parent.iterdir())).get(path, [])


def _files_by_metadata(
    folder: Path, by_stem: dict[str, Path], lose: Lose
) -> tuple[list[Path], Metadata]:
    metadata = _read_metadata(folder / METADATA, lose)
    listed = list(dict.fromkeys(name.removesuffix('.zstd') for name in metadata.names))
    for name in listed:
        if name not in by_stem:
            lose(f'all of {name}', f'{METADATA} lists the file, but it is not there')
    # A recorder that was killed leaves files that its metadata does not list yet.
    others = sorted(by_stem.keys() - set(listed), key=_natural)
    return [by_stem[name] for name in [*listed, *others] if name in by_stem], metadata


def _what_is(path: Path) -> str:
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir())[:5]
        return f'a folder with {", ".join(names)}' if names else 'an empty folder'
    return 'a file of another kind' if path.exists() else 'nothing'


def _natural(name: str) -> list[Any]:
    """Sort drive_2 before drive_10."""
    parts = re.split(r'(\d+)', name)
    return [int(part) if part.isdigit() else part for part in parts]


def _read_metadata(path: Path, lose: Lose) -> Metadata:
    if not path.exists():
        return Metadata()
    try:
        with path.open('rb') as stream:
            content = yaml.load(stream.read(_MAX_METADATA_BYTES), _loader())  # noqa: S506 (safe)
        return _metadata(content['rosbag2_bagfile_information'])
    # The file is small and not needed; whatever is wrong with it, the bag is read without.
    except Exception as error:
        lose(METADATA, f'it cannot be read, and is not needed ({str(error).splitlines()[0]})')
        return Metadata()


def _loader() -> Any:
    return getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def _metadata(content: dict[str, Any]) -> Metadata:
    # Early releases wrote the folder too; nothing outside the folder is ever read.
    metadata = Metadata([PurePath(str(name)).name for name in content['relative_file_paths']])
    for entry in content['topics_with_message_count']:
        topic = entry['topic_metadata']
        metadata.channels.append(Channel(
            str(topic['name']), normalized(str(topic['type'])),
            str(topic['serialization_format']), int(entry['message_count'])))
    for entry in content.get('files') or []:
        name = PurePath(str(entry['path'])).name.removesuffix('.zstd')
        metadata.starts_ns[name] = int(entry['starting_time']['nanoseconds_since_epoch'])
    return metadata
