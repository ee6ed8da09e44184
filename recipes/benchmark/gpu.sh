#!/usr/bin/env bash
# What a GPU that is at hand for minutes is to show, in ten minutes or less on one H100 or H200, without internet.
#
#   recipes/benchmark/gpu.sh
#   CARDS="cards.parquet, my-cards/" BASE=runs/smollm2-135m/base recipes/benchmark/gpu.sh path/to/results
#   PARTS=data LIMIT=3600 CARDS=cards.parquet BASE=runs/smollm2-135m/base recipes/benchmark/gpu.sh
#   recipes/benchmark/gpu.sh --list
#   SMALL=1 recipes/benchmark/gpu.sh
#
# Parts, in order of value; results and a log of each go into runs/gpu, or the folder named:
#   exact   tests that only a GPU can pass: sharing a prompt changes nothing there either
#   steps   a step of alignment and SFT at SmolLM3-3B's size, random weights: plain TRL, varlen attention, two causal calls;
#           peak memory beside what is counted before training; share of the card's own matmul rate (h200.yaml)
#   data    rows of the real cards that recipes/references summarises. Uses no GPU: best made beforehand, the third line above
#   seeds   SFT and alignment of SmolLM2-135M on these rows once for each of SEEDS, side by side; held-out cards scored
#
# CARDS: files and folders of cards, as collect.card_texts takes them. BASE: SmolLM2-135M-Instruct, a folder made by
# data_prep.small_base. Without them the last two parts are passed over. PARTS="exact steps data seeds", SEEDS="1 2 3",
# LIMIT=570 (seconds of all parts together), PYTHON=python. --list: what is left; nothing runs. SMALL=1: a try on a CPU with the
# demo's base and invented cards, into runs/gpu-small.
#
# A part that is done is passed over the next time, one that fails does not stop the others, one that time stopped goes on from
# what it saved. summary.json: parts, seconds, files, card, driver, versions, date. Exit code: 1 where a part failed, else 75
# where one was stopped or had no time left (start again), else 0; 2 for a mistake.
set -uo pipefail

mistake() { echo "gpu.sh: $*" >&2; exit 2; }
list="" out="" only=""
for word in "$@"; do
  case $word in
    --help | -h) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --list) list=1 ;;
    --only=*) only=${word#*=} ;;   # how this script starts itself, to run a part under `timeout`
    -*) mistake "\"$word\" is not an option; recipes/benchmark/gpu.sh --help shows what is" ;;
    *) [[ -z $out ]] || mistake "\"$word\" is a second folder; one takes all results"; out=$word ;;
  esac
done
small=${SMALL:-}
cards=${CARDS:-} base=${BASE:-} limit=${LIMIT:-570} parts=${PARTS:-exact steps data seeds} seeds=${SEEDS:-1 2 3}
out=$(realpath -m "${out:-$(dirname "$0")/../../runs/gpu${small:+-small}}") self=$(realpath "$0")
cd "$(dirname "$0")/../.." || exit 2
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python)}
# Of several cards the first: a process of its own that sees two would split its batches over them.
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES%%,*}
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
declare -A most=([exact]=90 [steps]=220 [data]=$limit [seeds]=$limit)   # seconds; the last two may take all that is left
declare -A result=([exact]=exact.log [steps]=steps/benchmark.json [data]=data/data/sft [seeds]=seeds.json)
[[ $limit =~ ^[0-9]+$ ]] || mistake "LIMIT is \"$limit\"; it takes whole seconds"
for part in $parts; do [[ ${most[$part]:-} ]] || mistake "PARTS names \"$part\"; there are exact, steps, data and seeds"; done

systems='{sft: "{run_dir}/sft-merged", aligned: "{run_dir}/model"}'
if [[ $small ]]; then
  recipe=recipes/demo
  steps=(--config recipes/benchmark/cpu.yaml --benchmark.repeats 1 --benchmark.checkpointing '[true]'
    --benchmark.references '[precomputed]' --benchmark.pairs '[{prompt: 128, chosen: 32, rejected: 24}]'
    --benchmark.sft '[{prompt: 128, answer: 32, references: 2}]')
  data=(--collect.cards 36 --split.validation 0.2 --split.heldout 0.3)
  sft=(--max_steps 2) align=(--max_steps 2) merge=(--merge.prompts 1 --merge.greedy_tokens 8)
  sample=(--sample.cards 12 --sample.samples 1 --sample.max_new_tokens 24)
  pairs=(--pairs.chosen own_or_reference --pairs.shares '{own: 1.0}' --pairs.max_length_gap 1.0 --pairs.max_faults 10)
  generate=(--generate.max_new_tokens 24)
else
  recipe=recipes/smollm2-135m
  steps=(--config recipes/benchmark/h200.yaml)
  data=(--collect.card_texts "[$cards]" --examples.tokenizer "$base")
  sft=(--model_name_or_path "$base" --use_cpu false --save_steps 50) align=(--use_cpu false --bf16 true)
  # A small model on a large card waits for its host at each token: few tokens, many rows at once.
  merge=(--merge.prompts 2 --merge.greedy_tokens 50)
  sample=(--sample.cards 64 --sample.samples 1 --sample.batch_size 64)
  pairs=() generate=(--generate.batch_size 66)
fi

missing() {   # why a part cannot run here; nothing where it can
  case $1 in
    exact) "$python" -c 'import pytest' 2> /dev/null || echo "pytest is not installed" ;;
    data | seeds)
      if [[ -z $small && ! -f $base/config.json ]]; then
        echo "BASE is \"$base\", which holds no model; python -m data_prep.small_base --out DIR makes it"
      elif [[ $1 == data && -z $small && -z $cards ]]; then
        echo "CARDS names no file or folder of cards"
      elif [[ $1 == seeds && ! -f $out/data/data/examples.manifest.json ]]; then
        echo "no rows yet; the part data makes them"
      fi ;;
  esac
}

stage() { echo "+ $*"; "$python" -m "$@"; }
run_exact() {
  # By name: collecting all files takes longer than these tests, and packages that this machine may lack.
  mapfile -t files < <(grep -rlE 'mark\.gpu\b' tests --include='*.py')
  stage pytest -q -m gpu -p no:cacheprovider "${files[@]}"
}
run_steps() { stage training.benchmark "${steps[@]}" --run_dir "$out/steps"; }
run_data() {
  for name in collect split research write examples; do
    stage "data_prep.$name" --config "$recipe/data.yaml" --run_dir "$out/data" "${data[@]}" || return
  done
}
run_seeds() {
  local worst=0 running=() job
  trap : TERM   # the stages hear of it themselves, and what trains saves; it is waited for
  for seed in $seeds; do one_seed "$seed" > "$out/seed-$seed.log" 2>&1 & running+=($!); done
  for job in "${running[@]}"; do
    while kill -0 "$job" 2> /dev/null; do wait "$job" || worst=1; done   # a signal ends `wait` early
    wait "$job" || worst=1
  done
  [[ $worst -eq 0 ]] || { tail -n 3 "$out"/seed-*.log; return 1; }
  "$python" recipes/benchmark/gpu_summary.py seeds "$out"
}
one_seed() {
  trap : TERM
  local run=$out/seed-$1 seed=(--seed "$1")
  if [[ ! -d $run/data ]]; then
    rm -rf "$run" && mkdir -p "$run" && cp -r "$out/data/data" "$run/copied" && mv "$run/copied" "$run/data" || return
  fi
  of() { stage "$1" --config "$recipe/$2.yaml" --run_dir "$run" "${@:3}"; }
  of training.sft sft "${seed[@]}" "${sft[@]}" &&
    of training.merge merge --merge.adapter sft "${merge[@]}" &&
    of eval.generate eval --stage sample "${seed[@]}" "${sample[@]}" &&
    of data_prep.revise data &&
    of data_prep.pairs data "${seed[@]}" "${pairs[@]}" &&
    of training.align apo "${seed[@]}" "${align[@]}" &&
    of training.merge merge --merge.adapter aligned "${merge[@]}" &&
    of eval.generate eval "${seed[@]}" --generate.systems "$systems" "${generate[@]}" &&
    of eval.score eval "${seed[@]}" --score.systems '[sft, aligned]' --score.comparisons '[[sft, aligned]]'
}

case $only in
  exact) run_exact; exit ;;
  steps) run_steps; exit ;;
  data) run_data; exit ;;
  seeds) run_seeds; exit ;;
esac

state_of() { sed -n 's/.*"state": "\([^"]*\)".*/\1/p' "$out/parts/$1.json" 2> /dev/null; }
record() {   # part, state, seconds
  printf '{"part": "%s", "state": "%s", "seconds": %d, "log": "%s", "result": "%s"}\n' \
    "$1" "$2" "$3" "$1.log" "${result[$1]}" > "$out/parts/$1.json.tmp" && mv "$out/parts/$1.json.tmp" "$out/parts/$1.json"
  echo "gpu.sh: $1: $2${4:+ ($4)}"
}
if [[ $list ]]; then
  for part in $parts; do
    state=$(state_of "$part") why=$(missing "$part")
    [[ $state == "done" ]] && why=""
    echo "$part: ${state:-not begun}${why:+; $why}"
  done
  exit 0
fi

if [[ -z $small && $parts != data ]]; then
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    mistake "$python sees no CUDA device; SMALL=1 tries this script on a CPU, PARTS=data makes the rows on one"
fi
mkdir -p "$out/parts" || exit 2
job="" told="" code=0
trap 'told=1; [[ -z $job ]] || kill -TERM "$job" 2> /dev/null' TERM INT HUP
for part in $parts; do
  if [[ $(state_of "$part") == "done" ]]; then echo "gpu.sh: $part: done already, $out/${result[$part]}"; continue; fi
  why=$(missing "$part") left=$((limit - SECONDS)) start=$SECONDS
  if [[ $why ]]; then record "$part" "passed over" 0 "$why"; continue; fi
  if [[ $told || $left -lt 5 ]]; then record "$part" stopped 0 "no time left"; code=$((code ? code : 75)); continue; fi
  budget=$((most[$part] < left ? most[$part] : left))
  echo "gpu.sh: $part: $budget s at most, $out/$part.log"
  timeout -k 25 "$budget" bash "$self" --only="$part" "$out" > "$out/$part.log" 2>&1 & job=$!
  ended=0
  wait "$job" || ended=$?
  while kill -0 "$job" 2> /dev/null; do wait "$job"; done
  job="" seconds=$((SECONDS - start))
  if [[ $ended -eq 0 ]]; then
    record "$part" "done" "$seconds" "$seconds s"
  elif [[ $told || $ended -eq 124 || $ended -eq 137 ]]; then
    record "$part" stopped "$seconds" "after $seconds s; start again and it goes on"; code=$((code ? code : 75))
  else
    tail -n 5 "$out/$part.log"
    record "$part" failed "$seconds" "exit code $ended, the end of its log above"; code=1
  fi
done
"$python" recipes/benchmark/gpu_summary.py machine "$out" || code=1
exit "$code"
