#!/bin/sh
# Is the contract in style, compatible with what was promised, and the generated code its own? Changes nothing.
#
# Run from the repository's root with the tools of proto/requirements.txt first on PATH (`make proto-check` does).
set -eu
buf lint
buf format --diff --exit-code
buf breaking --against proto/baseline.binpb
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
sh proto/generate.sh "$fresh"
diff -r -x __init__.py -x __pycache__ "$fresh/bridge/tps/v1" bridge/tps/v1 ||
    { echo "bridge/tps/v1 is not what proto/ generates; run 'make proto'." >&2; exit 1; }
