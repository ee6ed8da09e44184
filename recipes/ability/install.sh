#!/usr/bin/env bash
# Makes the environment that lighteval runs in, beside ours: it pins an older nltk than ours has.
#
#   recipes/ability/install.sh              makes .venv-lighteval, once
#   PYTHON=python3.12 PIP_ARGS="--extra-index-url URL" recipes/ability/install.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=.venv-lighteval pins=recipes/ability/requirements.txt
if cmp -s "$pins" "$folder/installed"; then
  echo "$folder is there already"
  exit
fi
"${PYTHON:-python3}" -m venv --clear "$folder"
echo '*' > "$folder/.gitignore"
# shellcheck disable=SC2086  # several arguments
"$folder/bin/python" -m pip install --disable-pip-version-check -q --no-compile ${PIP_ARGS:-} -r "$pins"
# lighteval 0.13 imports every task it has, and one of them then fetches a pickle from the internet. An empty file in its
# place keeps it from that, and lets it start where there is no internet.
touch "$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lighteval/tasks/tasks/tinyBenchmarks.pkl"
cp "$pins" "$folder/installed"
