# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The docstrings pass the pydocstyle rules of ROS 2."""
import logging

import pytest
from support.source_tree import python_folders


@pytest.mark.pep257
@pytest.mark.linter
def test_pep257(caplog):
    ament_pep257 = pytest.importorskip(
        'ament_pep257.main', reason='ament_pep257 is not installed')
    caplog.set_level(logging.WARNING, logger='pydocstyle.utils')
    code = ament_pep257.main(argv=python_folders())
    assert code == 0, 'docstring errors are printed above'
