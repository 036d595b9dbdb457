# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Launch arguments become parameters, or are refused by name."""

from edgevl_ros.nodes.launch_arguments import (
    chosen_parameters,
    parse_boolean,
    parse_vocabulary,
)
import pytest

NOTHING = dict.fromkeys(
    ('bundle', 'vocabulary', 'image_transport', 'use_sim_time', 'autostart'), ''
)


@pytest.mark.parametrize(
    'text', ['kitchen, corridor', '[kitchen, corridor]', "['kitchen', 'corridor']"]
)
def test_a_vocabulary_is_written_as_people_do(text):
    assert parse_vocabulary(text) == ['kitchen', 'corridor']


def test_labels_stay_text_whatever_yaml_would_make_of_them():
    assert parse_vocabulary('[on, 7, no]') == ['on', '7', 'no']


@pytest.mark.parametrize('text', ['kitchen,,corridor', '[kitchen', '[kitchen, ""]', '[[a], b]'])
def test_a_vocabulary_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match='vocabulary: expected'):
        parse_vocabulary(text)


def test_only_arguments_that_were_given_become_parameters(monkeypatch, tmp_path):
    assert chosen_parameters(NOTHING) == {}
    monkeypatch.setenv('HOME', str(tmp_path))
    given = {
        'bundle': '~/mine', 'vocabulary': 'kitchen', 'image_transport': 'compressed',
        'use_sim_time': 'True', 'autostart': 'false',
    }
    assert chosen_parameters(given) == {
        'bundle': str(tmp_path / 'mine'), 'vocabulary': ['kitchen'],
        'image_transport': 'compressed', 'depth_transport': 'compressedDepth',
        'use_sim_time': True, 'autostart': False,
    }


def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(ValueError, match='image_transport: expected one of raw, compressed'):
        chosen_parameters({**NOTHING, 'image_transport': 'theora'})
    with pytest.raises(ValueError, match='autostart: expected true or false'):
        parse_boolean('autostart', 'yes')
