# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# PYTHON             the Python to build on (3.10 to 3.13); default: the first suitable one found
# ROS_DISTRO_WHEELS  jazzy (default) or kilted: the ROS 2 wheels used where no ROS 2 is sourced
# BAG, TRUTH, COLOR_TOPIC, DEPTH_TOPIC, ARGS   options of the demo; ARGS also goes to pytest
export PYTHON ROS_DISTRO_WHEELS BAG TRUTH COLOR_TOPIC DEPTH_TOPIC ARGS

# Any Python 3 can start the bootstrap, which then finds the one to build on.
START := $(firstword $(foreach p,$(PYTHON) python3 python3.13 python3.12 python3.11 python3.10,\
	$(if $(shell $(p) -c 'print(1)' 2>/dev/null),$(p))))
BOOTSTRAP = $(if $(START),$(START),\
	$(error No Python 3 found: install Python 3.10, 3.11, 3.12 or 3.13)) scripts/bootstrap.py

.PHONY: help demo test venv clean

help:
	@echo 'make demo    watch a ROS 2 node label real photographs (BAG=path plays a rosbag)'
	@echo 'make test    run ruff, mypy and all tests'
	@echo 'make venv    make .venv with everything a developer needs'
	@echo 'make clean   remove .venv and everything built'

demo test venv clean:
	@$(BOOTSTRAP) $@
