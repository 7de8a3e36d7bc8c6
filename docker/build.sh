#!/bin/sh
# build.sh SOURCE OUT: build the wheel of SOURCE into OUT, with the packages that SOURCE pins.
# The Dockerfile runs this, and tests/e2e/test_container.py does where there is no Docker.
set -eu
source=$1
out=$2

mkdir -p "$out"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --no-cache-dir \
  --constraint "$source/requirements/constraints.txt" maturin
cd "$source"
"$tools/bin/maturin" build --release --locked --quiet --compatibility linux \
  --interpreter python3 --out "$out"
