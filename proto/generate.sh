#!/bin/sh
# Writes bridge/tps/v1 from the .proto files: messages, services, and typed stubs of both. Run from the repository's
# root with the development environment's programs first on PATH (`make proto` does).
set -eu
sources=$(ls proto/bridge/tps/v1/*.proto)
target=bridge/tps/v1
mkdir -p "$target"
rm -f "$target"/*_pb2.py "$target"/*_pb2.pyi "$target"/*_pb2_grpc.py "$target"/*_pb2_grpc.pyi
# shellcheck disable=SC2086 # one argument per file is wanted
python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. $sources
# A file without services makes an empty gRPC module.
for module in "$target"/*_pb2_grpc.py; do
    case $module in *_service_pb2_grpc.py) ;; *) rm -f "$module" "${module}i" ;; esac
done
