# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Any folder of pictures: colour in one folder, a second modality of the same stems in another.

    <folder>/rgb/0001.jpg  <folder>/depth/0001.png  <folder>/labels.csv (columns stem, label)

Folders below them are bags of their own. What a count of the second modality means is known for
16-bit depth (millimetres) and for cameras such as SWIR (full scale is white); of 8-bit depth it is
not, and the user has to say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import csv
from functools import partial
from math import isfinite
from pathlib import Path, PurePosixPath

from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import (
    by_stem,
    Found,
    inside,
    LARGEST_TEXT_BYTES,
    natural_order,
    read_inside,
)
from edgevl_training.sources.pictures import counts_picture, LoadedPicture, SUFFIXES
from edgevl_training.sources.source import Source
from edgevl_training.sources.still_images import Lost, matched, SECOND_NS, Still, StillImages

_COLOR_NAMES = ('rgb', 'color', 'colour', 'images', 'image')
# What folders of a second modality are called, and what the modality is called here.
_SECOND_NAMES = {
    'depth': 'depth', 'swir': 'swir', 'thermal': 'thermal', 'ir': 'infrared', 'nir': 'nir',
    'infrared': 'infrared',
}
_TRUTH_COLUMNS = ('label', 'scene', 'class')
_LABELS = 'labels.csv'


def open_sources(
    path: Path, *, name: str | None = None, color_dir: str | None = None,
    second_dir: str | None = None, second_name: str | None = None,
    second_scale: float | None = None, second_missing: Sequence[int] | None = None,
    labels: str | None = None,
) -> list[Source]:
    """
    Open an image folder as one source.

    :param name: of the source and its bag, the folder's if not given.
    :param color_dir: folder of the colour pictures, found by its name if not given.
    :param second_dir: folder of the second modality, found likewise; '' for colour only.
    :param second_name: what the second modality is called, by its folder if not given.
    :param second_scale: metres per count for depth; for others, the share of full scale per count.
    :param second_missing: counts that are no reading.
    :param labels: CSV file in the folder with the columns stem and label, scene or class.
    :raises SourceError: when folders are not found or a unit is not known.
    """
    root = path.resolve()
    name = name or root.name
    losses: list[Lost] = []

    def lose(item: str, reason: str) -> None:
        losses.append((item, reason))

    colors = by_stem(root, _color_folder(root, color_dir), SUFFIXES, lose)
    folder = _second_folder(root, second_dir)
    _check_options(second_scale, second_missing, unused=folder is None)
    truth = _read_truth(root, labels)
    if folder is None:
        files = [(stem, colors[stem], None) for stem in sorted(colors, key=natural_order)]
        _expect(files, root, f'no picture in {_color_folder(root, color_dir)}')
        return [StillImages(name, root, _stills(name, files, truth), SecondModality(), losses)]
    second_name = second_name or _modality_of(folder)
    seconds = by_stem(root, folder, SUFFIXES, lose)
    pairs = list(matched(colors, seconds, second_name, lose))
    _expect(pairs, root, f'{len(colors)} colour and {len(seconds)} {second_name} pictures, none '
                         'of the same stem')
    bits = _bits(root, [second for _, _, second in pairs])
    meaning = _meaning(folder, second_name, bits, second_scale, second_missing)
    return [StillImages(name, root, _stills(name, pairs, truth), meaning, losses,
                        partial(_counts, bits=bits))]


def stems_of(path: Path, color_dir: str | None = None) -> list[str]:
    """
    List the colour pictures of an image folder, without their suffixes, as in 'hall/0001'.

    :raises SourceError: when they are not found.
    """
    root = path.resolve()
    return list(by_stem(root, _color_folder(root, color_dir), SUFFIXES, lambda *_: None))


def _counts(data: bytes, bits: int) -> LoadedPicture:
    return counts_picture(data, bits)[0]


def _expect(files: Sequence[object], root: Path, found: str) -> None:
    if not files:
        raise SourceError(
            f'{root}: expected pictures as in rgb/0001.jpg and depth/0001.png, found {found}; '
            'name the folders with --color-dir and --second-dir'
        )


def _color_folder(root: Path, given: str | None) -> Path:
    if given is not None:
        return _named_folder(root, given, '--color-dir')
    folder = _only_folder(root, _COLOR_NAMES, '--color-dir')
    if folder is not None:
        return folder
    if any(file.suffix.lower() in SUFFIXES for file in root.iterdir()):
        return root
    raise SourceError(
        f'{root}: expected a folder of colour pictures called {", ".join(_COLOR_NAMES)}, found '
        f'{_listed(root)}; name it with --color-dir'
    )


def _second_folder(root: Path, given: str | None) -> Path | None:
    if given is None:
        return _only_folder(root, tuple(_SECOND_NAMES), '--second-dir')
    return _named_folder(root, given, '--second-dir') if given else None


def _named_folder(root: Path, name: str, option: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise SourceError(f'{folder}: expected the folder that {option} names, found '
                          f'{_listed(root)} in {root}')
    return _checked(root, folder)


def _only_folder(root: Path, names: Sequence[str], option: str) -> Path | None:
    folders = [entry for entry in sorted(root.iterdir())
               if entry.name.lower() in names and entry.is_dir()]
    if len(folders) > 1:
        raise SourceError(f'{root}: expected one of the folders '
                          f'{", ".join(folder.name for folder in folders)}; choose it with '
                          f'{option}')
    return _checked(root, folders[0]) if folders else None


def _checked(root: Path, folder: Path) -> Path:
    if not inside(root, folder):
        raise SourceError(f'{folder}: expected a folder inside {root}, found a path or link that '
                          'leads out of it; move or copy the pictures there')
    return folder.resolve()


def _listed(root: Path) -> str:
    names = sorted((entry.name for entry in root.iterdir() if entry.is_dir()), key=natural_order)
    more = f' and {len(names) - 10} more' if len(names) > 10 else ''
    return f'the folders {", ".join(names[:10])}{more}' if names else 'no folders'


def _check_options(
    scale: float | None, missing: Sequence[int] | None, unused: bool
) -> None:
    if unused and (scale is not None or missing is not None):
        raise SourceError('--second-scale and --second-missing speak of a second modality, and no '
                          f'folder of one was found ({", ".join(_SECOND_NAMES)}); name it with '
                          '--second-dir')
    if scale is not None and not (isfinite(scale) and scale > 0):
        raise SourceError(f'--second-scale: expected a positive number per count, found {scale}')
    if any(not 0 <= count <= 65535 for count in missing or ()):
        raise SourceError(f'--second-missing: expected counts from 0 to 65535, found {missing}')


def _modality_of(folder: Path) -> str:
    name = folder.name.lower()
    if name not in _SECOND_NAMES:
        raise SourceError(
            f'{folder}: the name does not tell the modality (known: {", ".join(_SECOND_NAMES)}); '
            'say it with --second-name, for example depth or thermal'
        )
    return _SECOND_NAMES[name]


def _bits(root: Path, files: Sequence[Found]) -> int:
    """Give how many bits the first readable picture of the second modality has."""
    for file in files:
        try:
            return counts_picture(read_inside(root, file.name))[1]
        except BadImage:
            continue
    return 16  # nothing is readable, and every item will be lost by its own reason


def _meaning(
    folder: Path, name: str, bits: int, scale: float | None, missing: Sequence[int] | None
) -> SecondModality:
    is_depth = name == 'depth'
    if scale is None:
        if is_depth and bits == 8:
            raise SourceError(
                f'{folder}: expected 16-bit depth in millimetres, found 8-bit pictures, whose '
                'unit is not known; say the metres per count with --second-scale, for example '
                "0.0392 if 255 is 10 m, or leave depth out with --second-dir ''"
            )
        scale = 0.001 if is_depth else 1 / (2 ** bits - 1)
    if missing is None:
        missing = ((0,) if bits == 8 else (0, 65535)) if is_depth else ()
    return SecondModality(name, 'm' if is_depth else 'full scale', scale, tuple(missing))


def _stills(
    name: str, files: Sequence[tuple[str, Found, Found | None]], truth: dict[str, str]
) -> list[Still]:
    return [
        Still(color, second, _bag(name, stem), index * SECOND_NS,
              truth.get(stem) or truth.get(PurePosixPath(stem).name))
        for index, (stem, color, second) in enumerate(files)
    ]


def _bag(name: str, stem: str) -> str:
    parent = PurePosixPath(stem).parent.as_posix()
    return name if parent == '.' else f'{name}/{parent}'


def _read_truth(root: Path, labels: str | None) -> dict[str, str]:
    path = root / (labels or _LABELS)
    if labels is None and not path.is_file():
        return {}
    try:
        if not inside(root, path) or path.stat().st_size > LARGEST_TEXT_BYTES:
            raise SourceError(f'{path}: expected a CSV file inside {root} of at most '
                              f'{LARGEST_TEXT_BYTES} bytes; copy it there')
        with path.open(encoding='utf-8-sig', newline='') as stream:
            return dict(_rows(path, csv.DictReader(stream)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f'{path}: expected a CSV file of labels: {error}') from error


def _rows(path: Path, rows: csv.DictReader[str]) -> Iterator[tuple[str, str]]:
    columns = rows.fieldnames or []
    truth = next((column for column in _TRUTH_COLUMNS if column in columns), None)
    if truth is None or 'stem' not in columns:
        raise SourceError(
            f'{path}: expected the columns stem and one of {", ".join(_TRUTH_COLUMNS)}, found '
            f'{", ".join(columns) or "none"}; rename the columns, or the file if it holds '
            'something else'
        )
    for row in rows:
        if row['stem'] and row[truth]:
            yield row['stem'], row[truth]
