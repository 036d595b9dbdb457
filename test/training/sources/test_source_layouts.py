# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts by name: their options, and errors that name the remedy."""

import pickle

from edgevl_ros.core.errors import BadImage
from edgevl_training.errors import SourceError
from edgevl_training.sources.files import natural_order, read_inside
from edgevl_training.sources.layouts import LAYOUTS, open_layout, options_of
import pytest
from support.picture_files import color_pixels, read_whole, write_picture


def test_every_layout_has_a_line_of_help_and_takes_a_name():
    """What is listed can be opened."""
    assert set(LAYOUTS) == {'folder', 'nyuv2', 'sunrgbd', 'scannet', 'eurosat-ms'}
    for layout, line in LAYOUTS.items():
        assert line and '\n' not in line
        assert 'name' in options_of(layout)


def test_unknown_layouts_and_options_are_listed(tmp_path):
    """The message says which there are."""
    with pytest.raises(SourceError, match="folder, nyuv2, .*found 'kitti'"):
        open_layout('kitti', tmp_path)
    with pytest.raises(SourceError, match='no option second_scale; it takes name, depth_kind'):
        open_layout('nyuv2', tmp_path, second_scale=1.0)


@pytest.mark.parametrize('layout', sorted(LAYOUTS))
def test_a_path_of_nothing_is_refused(tmp_path, layout):
    """The expected structure is named."""
    with pytest.raises(SourceError, match='found no such file'):
        open_layout(layout, tmp_path / 'nothing')


@pytest.mark.parametrize('layout', ['folder', 'sunrgbd', 'eurosat-ms', 'nyuv2', 'scannet'])
def test_a_file_of_another_kind_is_refused(tmp_path, layout):
    """A text file is no data set."""
    path = tmp_path / 'file.txt'
    path.write_text('text')
    with pytest.raises(SourceError, match='expected'):
        for source in open_layout(layout, path):
            read_whole(source)


def test_none_is_a_layout_s_own_default(tmp_path):
    """A caller may pass all options on."""
    write_picture(tmp_path / 'rgb' / '1.png', color_pixels())
    source, = open_layout('folder', tmp_path, color_dir=None, second_scale=None)
    assert len(read_whole(source).pairs) == 1


def test_sources_travel_to_other_processes(tmp_path):
    """They carry names, not pictures or open files."""
    write_picture(tmp_path / 'rgb' / '1.png', color_pixels())
    source, = open_layout('folder', tmp_path)
    pair, = read_whole(pickle.loads(pickle.dumps(source))).pairs  # noqa: S301 (our own)
    assert pair.color.load().data == (tmp_path / 'rgb' / '1.png').read_bytes()


def test_natural_order_is_total():
    """Numbers count as numbers, and no two names are equal."""
    names = ['a10', 'a9', 'a09', 'b', '10', '9', 'a']
    assert sorted(names, key=natural_order) == ['9', '10', 'a', 'a09', 'a9', 'a10', 'b']


def test_what_is_no_plain_file_is_not_read(tmp_path):
    """Reading a folder or a name that is gone says so."""
    (tmp_path / 'folder').mkdir()
    for name in ('folder', 'gone'):
        with pytest.raises(BadImage, match='no plain file'):
            read_inside(tmp_path, name)
