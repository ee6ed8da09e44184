#!/usr/bin/env bash
# Makes .llama-cpp: llama.cpp's converter, quantiser and server, at the version that was tried. Needs cmake and a C++ compiler.
#
#   recipes/export/install.sh
#   CMAKE_ARGS="-DGGML_CUDA=ON" recipes/export/install.sh        a server that uses an NVIDIA GPU
#   PIP_ARGS="--index-url URL" JOBS=1 recipes/export/install.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=.llama-cpp pins=recipes/export/llama-cpp.txt
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}
if cmp -s "$pins" "$folder/installed"; then
  echo "$folder is there already"
  exit
fi
# What its converter needs beside this project: it tries SentencePiece first, for every model of Llama's kind.
# shellcheck disable=SC2086  # several arguments
"$python" -m pip install --disable-pip-version-check -q ${PIP_ARGS:-} sentencepiece==0.2.3
rm -rf "$folder"
mkdir -p "$folder/archive"
echo '*' > "$folder/.gitignore"
# shellcheck disable=SC2086
"$python" -m pip download --disable-pip-version-check -q ${PIP_ARGS:-} --no-deps --no-binary :all: --require-hashes -r "$pins" -d "$folder/archive"
tar -xzf "$folder"/archive/*.tar.gz -C "$folder" --strip-components=3 --wildcards '*/vendor/llama.cpp/*'
rm -r "$folder/archive"
# shellcheck disable=SC2086
cmake -S "$folder" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF ${CMAKE_ARGS:-}
cmake --build "$folder/build" --target llama-quantize llama-server -j "${JOBS:-$(nproc)}"
cp "$pins" "$folder/installed"
