#!/usr/bin/env bash
# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
# Run every GPU test and the timings on this machine. It needs an NVIDIA driver, Python 3.10 to
# 3.13 with pip, and a network or a folder of wheels; no torch, no ROS, no CUDA toolkit.
#
#   benchmarks/gpu.sh [--library tensorrt|tensorrt_rtx] [--wheels FOLDER] [--graphs FOLDER]
#
#   --library   which TensorRT to install where none is (default: tensorrt); what the machine has,
#               as on a Jetson, is used as it is
#   --wheels    install from these files alone; made elsewhere with
#               pip download -d FOLDER $(benchmarks/gpu.sh --packages)
#   --graphs    students for the timings, made on a workstation with
#               python -m benchmarks.tensorrt_students graphs; without them, tests run alone
#
# What it prints, and build/gpu/: tests.txt, students.json, device.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

library=tensorrt wheels='' graphs=build/tensorrt_graphs
common=(numpy opencv-python-headless PyYAML onnx onnxruntime pytest psutil cuda-python)
while (($#)); do
  case $1 in
    --library) library=$2; shift 2 ;;
    --wheels) wheels=$2; shift 2 ;;
    --graphs) graphs=$2; shift 2 ;;
    --packages) echo "${common[@]}" "$library"; exit ;;
    *) sed -n '4,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

out=build/gpu
mkdir -p "$out"
# The machine's own packages stay in sight: a Jetson's TensorRT and PyCUDA come with apt.
python3 -m venv --system-site-packages "$out/venv"
python="$PWD/$out/venv/bin/python"
packages=("${common[@]}")
if ! "$python" -c 'import tensorrt; tensorrt.Builder' 2>/dev/null &&
   ! "$python" -c 'import tensorrt_rtx' 2>/dev/null; then
  packages+=("$library")
fi
"$python" -m pip install --quiet ${wheels:+--no-index --find-links "$wheels"} "${packages[@]}"

export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 XDG_CACHE_HOME=$PWD/$out/cache
{
  date -u
  uname -a
  nvidia-smi || cat /etc/nv_tegra_release || true
  "$python" -c '
from edgevl_ros.backends.cuda import open_cuda
from edgevl_ros.backends.tensorrt_library import load_library
cuda, library = open_cuda(), load_library()
print(cuda.device(), cuda.name, library.name, library.version)'
} 2>&1 | tee "$out/device.txt"

status=0
"$python" -m pytest -p no:cacheprovider -o pythonpath='. test' \
  test/backends 2>&1 |
  tee "$out/tests.txt" || status=$?

if [[ -f $graphs/graphs.json ]]; then
  "$python" -m benchmarks.tensorrt_students run --graphs "$graphs" --out "$out/students.json" ||
    status=$?
else
  echo "no students in $graphs: no timings" >&2
fi
exit "$status"
