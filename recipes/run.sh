#!/usr/bin/env bash
# The whole path of one recipe folder, from cards to the report, each command shown before it runs.
#
#   recipes/run.sh demo
#   recipes/run.sh demo --run_dir runs/mine --seed 2 --collect.source folder --collect.path cards/
#   ALIGN=dpo LAUNCH=recipes/accelerate/one_gpu.yaml recipes/run.sh smollm3-3b
#   ALIGN=rft ROUNDS=2 recipes/run.sh demo
#   DATA=data_references recipes/run.sh smollm3-3b
#   recipes/run.sh path/to/my/recipes
#
# --run_dir goes to every stage, --seed and --block.key to the data and eval stages. A finished stage says so and is
# passed over; a killed one goes on where it stopped. A stage that a signal stops ends the chain with code 75: the same
# command goes on.
#
# DATA names the recipe of the data where a folder has several (data, if left out); its run_dir is every stage's then.
# ALIGN names the recipe of alignment: apo (if left out) or dpo on pairs, rft on the model's own best samples, grpo on prompts
# alone. ROUNDS=N repeats it from the newest model, each round in a folder of its own (RUN_DIR/round-1, ...); the model of
# the last one is linked as RUN_DIR/model, where a single round leaves it.
set -euo pipefail

# Told to stop, by a queue or by Ctrl-C, it tells the stage that runs; see run_stage.
stage="" stopped=""
pass_on() { stopped=1; [[ -z $stage ]] || kill -TERM "$stage" 2> /dev/null || true; }
trap pass_on TERM INT HUP USR1

if [[ $# -lt 1 || $1 == --help || $1 == -h ]]; then
  sed -n '2,18s/^# \{0,1\}//p' "$0"
  echo "Recipes:$(for folder in "$(dirname "$0")"/*/data.yaml; do printf ' %s' "$(basename "$(dirname "$folder")")"; done)"
  [[ $# -lt 1 ]] && exit 2 || exit 0
fi

[[ -f $1/data.yaml ]] && recipe=$(realpath "$1") || recipe=recipes/$1
cd "$(dirname "$0")/.."
shift
if [[ ! -f $recipe/data.yaml ]]; then
  [[ $recipe == *.yaml ]] && echo "run.sh: takes a folder of recipes, not a file" >&2 && exit 2
  echo "run.sh: there is no $recipe/data.yaml; see recipes/run.sh --help for the recipes that ship" >&2
  exit 2
fi
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python)}
launcher() { echo "${LAUNCH:-recipes/accelerate/$(grep -qs '^use_cpu: true' "$recipe/$1.yaml" && echo cpu || echo one_gpu).yaml}"; }
align=${ALIGN:-apo} rounds=${ROUNDS:-1} cards=$recipe/${DATA:-data}.yaml
if [[ ! -f $cards ]]; then
  echo "run.sh: DATA=$DATA has no recipe $cards; name one that is there, for example data" >&2
  exit 2
fi
if [[ ! -f $recipe/$align.yaml ]]; then
  echo "run.sh: ALIGN=$align has no recipe $recipe/$align.yaml; name one that is there, for example apo" >&2
  exit 2
fi
if [[ ! $rounds =~ ^[1-9][0-9]?$ ]]; then
  echo "run.sh: ROUNDS is \"$rounds\", expected a number from 1 to 99" >&2
  exit 2
fi

run_dir=$(sed -n 's/^run_dir: *\([^ #]*\).*/\1/p' "$cards" | tr -d "\"'")
everywhere=() blocks=()
[[ -z ${DATA:-} ]] || everywhere=(--run_dir "$run_dir")
while [[ $# -gt 0 ]]; do
  case $1 in
    --run_dir) run_dir=${2:?--run_dir needs a folder}; everywhere=("$1" "$2"); shift 2 ;;
    --seed | --*.*) blocks+=("$1" "${2:?$1 needs a value}"); shift 2 ;;
    *) echo "run.sh: \"$1\" is not an option; write --run_dir DIR, --seed N or --block.key VALUE" >&2; exit 2 ;;
  esac
done

# A stage runs beside this shell, which would otherwise hear of a signal only when the stage is over. What trains saves, and
# the chain ends with the stage's own exit code.
case $align in grpo) each=2 ;; rft) each=4 ;; *) each=6 ;; esac
number=0 steps=$((15 + rounds * each))

run_stage() {
  local code=0 late=0
  [[ -z $stopped ]] || return 75
  "$@" & stage=$!
  while kill -0 "$stage" 2> /dev/null; do
    wait "$stage" && code=0 || code=$?   # ends early, with a code above 128, when a signal comes
  done
  wait "$stage" 2> /dev/null || late=$?
  [[ $code -le 128 || $late -eq 127 ]] || code=$late
  stage=""
  # Stopped in what has nothing to save, which ends by itself or by the signal: the same command goes on, as after a checkpoint.
  [[ -z $stopped || ($code -ne 0 && $code -le 128) ]] || code=75
  return "$code"
}
show() {
  number=$((number + 1))
  printf '\n\033[1m[%d/%d] %s\033[0m\n' "$number" "$steps" "$*"
  local start=$SECONDS
  run_stage "$@" || return $?
  printf '        %d s\n' $((SECONDS - start))
}
data() { show "$python" -m "data_prep.$1" --config "$cards" "${everywhere[@]}" "${blocks[@]}"; }
train() { show "$python" -m training.launch --config_file "$(launcher "$2")" -m "training.$1" --config "$recipe/$2.yaml" "${everywhere[@]}"; }
merge() { show "$python" -m training.merge --config "$recipe/merge.yaml" --merge.adapter "$1" "${everywhere[@]}" "${blocks[@]}"; }
evaluate() { show "$python" -m "eval.$1" --config "$recipe/eval.yaml" "${@:2}" "${everywhere[@]}" "${blocks[@]}"; }
# Several processes share the cards out where a launcher file says so; one needs no launcher.
generate() {
  local how=(-m eval.generate)
  [[ -z ${LAUNCH:-} ]] || how=(-m training.launch --config_file "$LAUNCH" "${how[@]}")
  show "$python" "${how[@]}" --config "$recipe/eval.yaml" "$@" "${everywhere[@]}" "${blocks[@]}"
}

# From the merged SFT model of the run or the round to its model/. GRPO samples for itself.
align_once() {
  case $align in
    grpo) train grpo grpo ;;
    rft)
      generate --stage sample
      data best
      train sft rft
      ;;
    *)
      generate --stage sample
      generate --stage repair
      data revise
      data pairs
      train align "$align"
      ;;
  esac
  merge aligned
}

# A round's folder is a run whose cards and rows are the run's own, and whose SFT model is the newest model. What a single
# round sampled from that model before is not sampled again. Links are relative, so that the whole can be moved.
open_round() {
  local folder=$run_dir/round-$1 newest=sft-merged
  [[ $1 -eq 1 ]] || newest=round-$(($1 - 1))/model
  mkdir -p "$folder/data"
  ln -sfn "../$newest" "$folder/sft-merged"
  for name in sampling.jsonl split.json sft; do ln -sfn "../../data/$name" "$folder/data/$name"; done
  [[ $1 -ne 1 ]] || cp -n "$run_dir"/data/*.jsonl.part* "$folder/data/" 2> /dev/null || true
  everywhere=(--run_dir "$folder")
}

# Links the last round's model; one that a single round made is kept beside it.
close_rounds() {
  everywhere=(--run_dir "$run_dir")
  [[ -d $run_dir/round-$rounds/model ]] || return 0
  [[ -L $run_dir/model || ! -e $run_dir/model ]] || mv -T --backup=numbered "$run_dir/model" "$run_dir/model.single"
  ln -sfn "round-$rounds/model" "$run_dir/model"
}

data collect
data split
data research
data write
data examples
train sft sft
merge sft
if [[ $rounds -eq 1 ]]; then
  align_once
else
  for ((round = 1; round <= rounds; round++)); do
    open_round "$round"
    align_once
  done
  close_rounds
fi
generate
evaluate probes
generate --stage probe
evaluate support
evaluate judge
evaluate score
evaluate report
# A model that may not be published (1) is a result of the run, not its failure.
evaluate gate || { code=$?; [[ $code -eq 1 ]] || exit "$code"; }
