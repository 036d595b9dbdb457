# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which files make up a bag, and where there are bags."""

from __future__ import annotations

from collections.abc import Iterable
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
from edgevl_training.errors import SourceError
import yaml

METADATA = 'metadata.yaml'
# Files that are a bag by themselves, and those that are part of a folder.
_ROS1_ENDINGS = ('.bag', '.bag.active')
_ROS2_ENDINGS = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
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

    A path is a bag (a folder with metadata.yaml or with .mcap or .db3 files directly inside, or a
    file), or a folder with bags somewhere below.

    :raises SourceError: a path holds none.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        try:
            bags = [path] if is_bag(path) else list(_below(path))
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


def is_bag(path: Path) -> bool:
    """Whether a path is a bag by its name, or by the names of what it holds."""
    if path.is_dir():
        return (path / METADATA).is_file() or any(
            file.name.endswith(_ROS2_ENDINGS) and file.is_file() for file in path.iterdir())
    return path.is_file() and path.name.endswith(_ROS1_ENDINGS + _ROS2_ENDINGS)


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
    :raises SourceError: there is no bag.
    """
    if not is_bag(path):
        raise SourceError(f'no bag at {path}: {_EXPECTED}; found {_what_is(path)}; '
                          'check the path')
    if path.is_file():
        return [path], Metadata()
    metadata = _read_metadata(path / METADATA, lose)
    there = {file.name: file for file in path.iterdir()
             if file.is_file() and file.name.endswith(_ROS2_ENDINGS)}
    # An unpacked file counts for its packed form: packing may not have finished.
    there = {name: file for name, file in there.items()
             if not name.endswith('.zstd') or name.removesuffix('.zstd') not in there}
    by_stem = {name.removesuffix('.zstd'): file for name, file in there.items()}
    listed = list(dict.fromkeys(name.removesuffix('.zstd') for name in metadata.names))
    for name in listed:
        if name not in by_stem:
            lose(f'all of {name}', f'{METADATA} lists the file, but it is not there')
    # A recorder that was killed leaves files that its metadata does not list yet.
    others = sorted(by_stem.keys() - set(listed), key=_natural)
    return [by_stem[name] for name in [*listed, *others] if name in by_stem], metadata


def open_file(path: Path) -> StorageFile:
    """Choose the reader of a file by its name."""
    if path.name.endswith('.zstd'):
        return PackedFile(path, open_file)
    if path.name.endswith(_ROS1_ENDINGS):
        return Ros1File(path)
    return McapFile(path) if path.name.endswith('.mcap') else SqliteFile(path)


def _below(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        if is_bag(Path(folder)):
            folders.clear()
            yield Path(folder)
        yield from (Path(folder, file) for file in sorted(files) if file.endswith(_ROS1_ENDINGS))


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
