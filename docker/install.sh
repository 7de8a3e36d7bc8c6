#!/bin/sh
# install.sh KIND WHEELS CONSTRAINTS PREFIX: a virtual environment at PREFIX with the wheel in WHEELS
# and pinned packages; KIND is verifier (the core alone) or server (the owner's commands, too).
# The Dockerfile runs this, and tests/e2e/test_container.py does where there is no Docker.
set -eu
kind=$1
wheels=$2
constraints=$3
prefix=$4

case $kind in
  verifier) extras= ;;
  server) extras='[import,server]' ;;
  *) echo "install.sh: $kind is neither verifier nor server" >&2; exit 2 ;;
esac
set -- "$wheels"/veracity-*.whl
test $# -eq 1 && test -f "$1" || { echo "install.sh: $wheels must hold one wheel" >&2; exit 2; }
python3 -m venv "$prefix"
"$prefix/bin/pip" install --quiet --no-cache-dir --constraint "$constraints" "$1$extras"
# Nothing is installed later; an image without pip has less that could be used against it.
"$prefix/bin/python" -c 'import veracity.engine._cpu'
"$prefix/bin/pip" uninstall --quiet --yes setuptools 2>/dev/null || true
"$prefix/bin/pip" uninstall --quiet --yes pip
