# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings take what fits and refuse the rest by name."""

from dataclasses import fields

from edgevl_ros.core.errors import SettingsError
from edgevl_ros.core.settings import Settings
from hypothesis import given, strategies as st
import pytest


def test_every_setting_is_described_and_its_default_fits():
    for declaration in fields(Settings):
        assert declaration.metadata['description'].endswith('.'), declaration.name
    Settings()


def test_changes_are_taken_together_or_not_at_all():
    settings = Settings()
    changed = settings.changed({'top_k': 3, 'vocabulary': ['kitchen'], 'max_rate': 5})
    assert (changed.top_k, changed.vocabulary, changed.max_rate) == (3, ('kitchen',), 5.0)
    with pytest.raises(SettingsError, match='top_k'):
        settings.changed({'max_rate': 5.0, 'top_k': 0})
    assert settings == Settings()


@pytest.mark.parametrize(
    ('name', 'value', 'complaint'),
    [
        ('top_k', 0, 'in 1..100, found 0'),
        ('top_k', 2.0, 'expected int'),
        ('top_k', True, 'expected int'),
        ('max_rate', -1.0, 'in 0.0..1000.0'),
        ('max_rate', float('nan'), 'found nan'),
        ('smoothing_time', float('inf'), 'found inf'),
        ('modality', 'thermal', 'one of auto, rgb, depth, both'),
        ('vocabulary', 'kitchen', 'list of strings'),
        ('vocabulary', [1], 'list of strings'),
        ('autostart', 1, 'expected bool'),
        ('bundle', None, 'expected str'),
        ('colour', 1, 'known settings, found colour'),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, value, complaint):
    with pytest.raises(SettingsError, match=f'{name}.*{complaint}|{complaint}'):
        Settings().changed({name: value})


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())
)


@given(st.sampled_from([declaration.name for declaration in fields(Settings)]), VALUES)
def test_any_value_is_taken_whole_or_refused_with_a_reason(name, value):
    try:
        changed = Settings().changed({name: value})
    except SettingsError as error:
        assert str(error).startswith(f'{name}: expected')
    else:
        taken = getattr(changed, name)
        assert taken == (tuple(value) if isinstance(value, list) else value)
        assert type(taken) is type(getattr(Settings(), name))
