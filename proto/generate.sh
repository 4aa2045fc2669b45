#!/bin/sh
# Writes Python from the .proto files: messages, services, and typed stubs of both.
#
#   generate.sh [FOLDER]    FOLDER/bridge/tps/v1; without FOLDER, the repository's own
#
# Run from the repository's root with the tools of proto/requirements.txt first on PATH (`make proto` does).
set -eu
folder=${1:-.}
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
python -m grpc_tools.protoc -I proto --python_out="$fresh" --grpc_python_out="$fresh" \
    --mypy_out=quiet:"$fresh" --mypy_grpc_out=quiet:"$fresh" proto/bridge/tps/v1/*.proto
# A file without services makes an empty gRPC module.
find "$fresh" -name '*_pb2_grpc.py*' ! -name '*_service_pb2_grpc.py*' -delete
mkdir -p "$folder/bridge/tps/v1"
rm -f "$folder"/bridge/tps/v1/*_pb2*.py*
cp "$fresh"/bridge/tps/v1/* "$folder/bridge/tps/v1/"
