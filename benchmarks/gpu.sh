#!/usr/bin/env bash
# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
# Run every GPU test and the timings on this machine. It needs an NVIDIA driver, Python 3.10 to
# 3.13 with pip, and a network or a folder of wheels; no torch, no ROS, no CUDA toolkit.
#
#   benchmarks/gpu.sh [--library tensorrt|tensorrt_rtx] [--cuda X.Y] [--wheels FOLDER]
#                     [--graphs FOLDER]
#
#   --library   which TensorRT to install where none is (default: tensorrt); what the machine has,
#               as on a Jetson, is used as it is
#   --cuda      the newest CUDA that the driver can do, which cuda-python must not be newer than;
#               asked of the driver where it is not given
#   --wheels    install from these files alone; made elsewhere with
#               pip download -d FOLDER $(benchmarks/gpu.sh --cuda X.Y --packages)
#   --graphs    students for the timings, made on a workstation with
#               python -m benchmarks.tensorrt_students graphs; without them, tests run alone
#
# What it prints, and build/gpu/: tests.txt, students.json, device.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

library=tensorrt cuda='' wheels='' graphs=build/tensorrt_graphs list=0
while (($#)); do
  case $1 in
    --library) library=$2; shift 2 ;;
    --cuda) cuda=$2; shift 2 ;;
    --wheels) wheels=$2; shift 2 ;;
    --graphs) graphs=$2; shift 2 ;;
    --packages) list=1; shift ;;
    *) sed -n '4,21s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

if [[ -z $cuda ]]; then
  cuda=$(python3 -c '
import ctypes
version = ctypes.c_int()
ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
print(f"{version.value // 1000}.{version.value % 1000 // 10}")') || {
    echo 'expected an NVIDIA driver, found none; install it, or name its CUDA: --cuda 12.6' >&2
    exit 2
  }
fi
# The bare names bring CUDA 13, which a driver of CUDA 12 does not run.
if ((${cuda%%.*} < 13)); then library+=-cu12; fi
common=(
  numpy opencv-python-headless PyYAML onnx onnxruntime pytest psutil
  "cuda-python<${cuda%%.*}.$((${cuda#*.} + 1))"
)
if ((list)); then
  echo "${common[@]}" "$library"
  exit
fi

out=build/gpu
mkdir -p "$out"
# The machine's own packages stay in sight: a Jetson's TensorRT and PyCUDA come with apt.
venv=$out/venv-$library
python3 -m venv --system-site-packages "$venv"
python="$PWD/$venv/bin/python"
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
