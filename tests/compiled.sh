#!/bin/sh
# Runs tests on the compiled modules, in a tree of their own: tests/compiled.sh PYTEST_ARGUMENT...
set -eu
cd "$(dirname "$0")/.."
if ! command -v cc > /dev/null && ! command -v gcc > /dev/null; then
  echo "Nothing is tested on compiled modules: that takes a C compiler"
  exit 0
fi
checkout=$PWD
tree=build/compiled
.venv/bin/python deploy/compile.py "$tree"
for name in .venv .github *; do
  case $name in
    services | shared | build) ;;
    *) ln -sfn "$checkout/$name" "$tree/$name" ;;
  esac
done
cd "$tree"
COMPILED=1 exec .venv/bin/python -m pytest "$@"
