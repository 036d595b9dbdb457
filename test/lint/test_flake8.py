# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The code passes the flake8 of ROS 2."""
import warnings

import pytest
from support.source_tree import python_folders


@pytest.mark.flake8
@pytest.mark.linter
def test_flake8():
    ament_flake8 = pytest.importorskip(
        'ament_flake8.main', reason='ament_flake8 is not installed')
    with warnings.catch_warnings():
        # The plugins' own affairs, such as a deprecated import in one of them.
        warnings.simplefilter('ignore')
        code, errors = ament_flake8.main_with_errors(argv=python_folders())
    assert code == 0, '\n'.join(errors)
