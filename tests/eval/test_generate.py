"""Generation: frozen batches, a seed each, a store that a kill cannot spoil, and refusals before a model is asked."""

import json
import re
import shutil
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from chat_server import completion
from commands import run_command

from data_prep.candidates.checked import CheckedSummary
from data_prep.chat.replies import read_answer, split_thinking
from data_prep.checks import check_summary
from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.lock import alone
from data_prep.core.manifest import content_hash
from data_prep.core.recipe import load
from data_prep.core.records import Generation, HeldOut, Probe
from data_prep.prompts.student import build_prompt, source_text
from data_prep.synthetic.world import raw_cards
from eval.decoding.sampling import DRAWS_VERSION, GREEDY, Decoding
from eval.generate import CONFIGS, GenerateConfig, Job, decodings_of, main
from eval.generation.baselines import extractive, front_matter, lead, reference
from eval.generation.local_model import open_model, summary
from eval.generation.requests import GenerationRequest, PromptPrefix, cache_key, plan
from eval.generation.store import appending, read_store
from eval.generation.systems import System

SOURCES = {"generate": "heldout", "sample": "sampling", "probe": "probes"}
QUICK = {"batch_size": 2, "max_new_tokens": 12, "dtype": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def cards(tokenizer):
    made = []
    for index, raw in enumerate(raw_cards(6, 5)):
        prompt = build_prompt(raw.model_id, raw.content, raw.notes, tokenizer, 1200)
        made.append(
            HeldOut(f"card{index}", prompt.messages, source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0], "f")
        )
    return made


def generate(run_dir, cards, systems, stage="generate", seed=0, **options):
    """Runs the stage in this process; the rows of the first system's file."""
    write_jsonl(run_dir / "data" / f"{SOURCES[stage]}.jsonl", cards)
    systems = {"tiny": str(systems)} if not isinstance(systems, dict) else systems
    arguments = ["--run_dir", str(run_dir), "--seed", str(seed), f"--{stage}.systems", json.dumps(systems)]
    arguments += [
        part for key, value in {**QUICK, **options}.items() for part in (f"--{stage}.{key}", json.dumps(value).strip('"'))
    ]
    main(load(stage, CONFIGS[stage], arguments))
    return list(read_jsonl(output(run_dir, stage, next(iter(systems))), Generation))


def output(run_dir, stage="generate", system="tiny"):
    folder = {"generate": "eval/generations", "probe": "eval/probe_generations"}.get(stage)
    return run_dir / folder / f"{system}.jsonl" if folder else run_dir / "data" / "samples.jsonl"


def in_store(run_dir):
    return [row for part in sorted(output(run_dir).parent.glob("*.part*")) for line in part.open() for row in json.loads(line)]


# --- what is written, and goes on after a kill ------------------------------------------------------------------------


def test_greedy_and_sampled_summaries_stand_card_by_card(tmp_path, cards, tiny_model, capsys):
    rows = generate(tmp_path, cards, tiny_model, samples=2)
    order = [(card.id, *way) for card in cards for way in (("greedy", 0), ("sampled", 0), ("sampled", 1))]
    assert [(row.id, row.decoding, row.sample) for row in rows] == order
    assert len({row.key for row in rows}) == 15
    assert all(row.completion_tokens <= 12 for row in rows)
    cut = sum(row.finish_reason == "length" for row in rows)
    assert cut > 0
    tail = r"\d+ cut by the token limit, 0 ended in a loop, 0 with think text, [\d,]+ tokens at [\d,]+ tokens/s"
    assert re.search(f"generate: 15 summaries by tiny in .*tiny.jsonl: {tail}", capsys.readouterr().out)
    generate(tmp_path, cards, tiny_model, samples=2)
    assert "generate tiny: done already" in capsys.readouterr().out
    assert json.loads(output(tmp_path).with_suffix(".manifest.json").read_text())["result"] == {
        "model": content_hash(tiny_model), "summaries": 15, "cut": cut, "loops": 0, "thinking": 0,
    }  # fmt: skip


def test_a_killed_run_ends_with_the_same_text(tmp_path, cards, tiny_model, capsys):
    rows = generate(tmp_path / "a", cards, tiny_model, "sample", samples=2, temperature=0.9)
    assert {row.sample for row in rows} == {0, 1}
    assert {row.decoding for row in rows} == {"sampled"}
    whole = output(tmp_path / "a", "sample")
    lines = whole.with_name("samples.jsonl.part").read_bytes().splitlines(keepends=True)
    assert [[(row["id"], row["sample"]) for row in json.loads(line)] for line in lines] == [
        [(card, 0), (card, 1)] for card in by_length(cards)
    ]
    # Three batches are there, of two processes that are no more; a fourth broke off in the middle of its line.
    part = output(tmp_path / "b", "sample").with_name("samples.jsonl.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(lines[1] + lines[0][:300])
    part.with_name("samples.jsonl.part3").write_bytes(lines[4] + lines[2])
    capsys.readouterr()
    again = generate(tmp_path / "b", cards, tiny_model, "sample", samples=2, temperature=0.9)
    assert "sample: 6 of 10 summaries by tiny are there already" in capsys.readouterr().out
    assert again == rows
    assert output(tmp_path / "b", "sample").read_bytes() == whole.read_bytes()
    # Another seed is another text.
    other = generate(tmp_path / "b", cards, tiny_model, "sample", samples=2, temperature=0.9, seed=5)
    assert [row.text for row in other] != [row.text for row in rows]


def test_only_what_is_missing_is_made(tmp_path, cards, tiny_model):
    first = generate(tmp_path, cards[:3], tiny_model, samples=1)
    made = in_store(tmp_path)
    assert len(made) == 6
    # Two cards, a seed and a system more: what was there stays as it was, and no key stands twice.
    systems = {"tiny": str(tiny_model), "other": {"model": str(tiny_model)}}
    rows = generate(tmp_path, cards, systems, samples=2)
    assert len(rows) == 15
    assert [row for row in rows if row.key in {old.key for old in first}] == first
    part = output(tmp_path).with_name("tiny.jsonl.part")
    keys = [row["key"] for line in part.open() for row in json.loads(line)]
    assert len(keys) == len(set(keys)) == 15
    assert [row["key"] for row in made] == keys[:6]
    # Fewer again: nothing is made, and the file holds what was asked for.
    assert generate(tmp_path, cards[:3], tiny_model, samples=1) == first
    assert len(in_store(tmp_path)) == 30
    # The run's seed is nothing to the greedy ones.
    generate(tmp_path, cards, tiny_model, seed=3)
    assert len(in_store(tmp_path)) == 30


def test_other_draws_void_what_was_drawn_here_and_nothing_else(tmp_path, cards, tiny_model, monkeypatch):
    first = generate(tmp_path, cards[:3], tiny_model, samples=1)
    monkeypatch.setattr("eval.generate.DRAWS_VERSION", DRAWS_VERSION + 1)
    again = generate(tmp_path, cards[:3], tiny_model, samples=1)
    assert [row.key for row in first if row.decoding == "greedy"] == [row.key for row in again if row.decoding == "greedy"]
    assert len({row.key for row in first + again}) == 9
    for backend, drawn in (("transformers", True), ("vllm", False)):
        job = SimpleNamespace(system=System(model="m", backend=backend))
        assert ("draws" in Job.rules(job, sampled(1)[0])) == drawn
        assert "draws" not in Job.rules(job, GREEDY)


def test_another_models_summaries_are_not_taken_for_its_own(tmp_path, cards, tiny_model):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    first = generate(tmp_path / "run", cards[:2], folder)
    (folder / "note.txt").write_text("trained on")
    second = generate(tmp_path / "run", cards[:2], folder)
    assert not {row.key for row in first} & {row.key for row in second}
    assert len(in_store(tmp_path / "run")) == 4


def test_probes_are_summarised_greedily_under_their_own_ids(tmp_path, cards, tiny_model):
    probes = [Probe(f"p-{card.id}", card.id, "missing", card.prompt, card.source, "f", []) for card in cards[:2]]
    rows = generate(tmp_path, probes, {"tiny": str(tiny_model), "lead": "baseline:lead"}, "probe")
    assert [(row.id, row.decoding, row.sample) for row in rows] == [("p-card0", "greedy", 0), ("p-card1", "greedy", 0)]
    assert output(tmp_path, "probe", "lead").exists()


# --- batches and the store --------------------------------------------------------------------------------------------


def asks(cards, decodings=(GREEDY,), **identity):
    openings = [PromptPrefix(card.id, card.prompt, card.prompt[1]["content"]) for card in cards]
    return [GenerationRequest(one, way, cache_key(one, way, identity, 0)) for one in openings for way in decodings]


def sampled(count):
    return [Decoding("sampled", sample, 0.6, 0.95) for sample in range(count)]


def placed(batches):
    """Card and sample of each row, batch by batch, None for greedy ones."""
    return [
        [(ask.opening.card_id, ask.decoding.sample if ask.decoding.temperature else None) for ask in batch.asks]
        for batch in batches
    ]


def by_length(cards):
    return [card.id for card in sorted(cards, key=lambda card: len(card.prompt[1]["content"]))]


def test_samples_of_a_card_stand_side_by_side_and_greedy_summaries_among_themselves(cards):
    a, b, c, d, e = by_length(cards)
    ways = (*sampled(3), GREEDY)
    assert placed(plan(asks(cards, ways), 4)) == [
        [(a, None), (b, None), (c, None), (d, None)], [(e, None)], *([(card, 0), (card, 1), (card, 2)] for card in (a, b, c, d, e))
    ]  # fmt: skip
    two, *_, last = placed(plan(asks(cards, sampled(3)), 7))
    assert (two, last) == ([(card, sample) for card in (a, b) for sample in range(3)], [(e, 0), (e, 1), (e, 2)])
    assert placed(plan(asks(cards[:1], sampled(5)), 2)) == [
        [("card0", 0), ("card0", 1)],
        [("card0", 2), ("card0", 3)],
        [("card0", 4)],
    ]
    warmer = replace(ways[0], temperature=0.9)
    assert placed(plan(asks(cards[:1], (*sampled(1), warmer)), 4)) == [[("card0", 0)], [("card0", 0)]]


def test_batches_are_frozen_by_content_not_by_file_order(cards):
    ways = (*sampled(2), GREEDY)
    first, again = (plan(asks(order, ways), 4) for order in (cards, cards[::-1]))
    assert first == again
    assert [len(batch.asks) for batch in first] == [4, 1, 4, 4, 2]
    for done in ({0}, {1, 2}, {0, 2, 4}, {3}):
        left = [ask for number, batch in enumerate(first) if number not in done for ask in batch.asks]
        assert plan(left[::-1], 4) == [batch for number, batch in enumerate(first) if number not in done]


def test_systems_draw_with_the_same_random_numbers(cards):
    first, other = (asks(cards, sampled(2), model=name) for name in ("sft", "aligned"))
    assert [ask.seed for ask in first] == [ask.seed for ask in other]
    assert {ask.key for ask in first}.isdisjoint(ask.key for ask in other)
    opening, way = first[0].opening, sampled(2)
    begun = replace(opening, begun="## A", repairs="k")
    seeds = {GenerationRequest(*one).seed for one in [
        (opening, way[0], ""), (opening, way[1], ""), (asks(cards)[1].opening, way[0], ""), (begun, way[0], ""), (opening, way[0], "", 1)
    ]}  # fmt: skip
    assert len(seeds) == 5


def test_a_key_covers_what_can_change_the_text(cards):
    opening = asks(cards)[0].opening
    way = sampled(2)
    keys = [
        cache_key(opening, GREEDY, {}, 0), cache_key(opening, way[0], {}, 0), cache_key(opening, way[1], {}, 0), cache_key(opening, way[0], {}, 1),
        cache_key(opening, Decoding("sampled", 0, 0.7, 0.95), {}, 0), cache_key(opening, GREEDY, {"model": "x"}, 0),
        cache_key(asks(cards)[1].opening, GREEDY, {}, 0), cache_key(PromptPrefix("card0", opening.messages, opening.prompt, "## A", "k"), GREEDY, {}, 0),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert cache_key(opening, GREEDY, {}, 1) == keys[0]


def row(key, text="t"):
    return Generation(key, "card0", "x", text, "stop", 1, 1)


def test_the_store_drops_a_broken_last_line_and_refuses_a_broken_one_before_it(tmp_path):
    path = tmp_path / "x.jsonl"
    for process, keys in ((0, "ab"), (2, "c")):
        with appending(path, process) as append:
            append([row(key) for key in keys])
    with open(tmp_path / "x.jsonl.part2", "ab") as handle:
        handle.write(b'[{"key": "d"')
    assert list(read_store(path)) == ["a", "b", "c"]
    with appending(path, 2) as append:
        append([row("a", "again"), row("e", "\ud800")])
    assert [found.text for found in read_store(path).values()] == ["t", "t", "t", "\ud800"]
    (tmp_path / "x.jsonl.part").write_bytes(b"[1]\n[]\n")
    with pytest.raises(ValueError, match=r"x.jsonl.part:1 holds no batch of summaries; delete the line or the file"):
        read_store(path)


def test_one_run_at_a_time_writes_a_file(tmp_path, cards):
    with alone(output(tmp_path, system="lead")), pytest.raises(ValueError, match=r"another process is writing .*lead.jsonl"):
        generate(tmp_path, cards, {"lead": "baseline:lead"})


# --- think text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "text", "thinking"),
    [
        ("<think>\nHm.\n</think>\n\n## A\nIt is.", "## A\nIt is.", "Hm."),
        ("Hm.\n</think>\n## A", "## A", "Hm."),
        ("<think>\nHm, let me", "", "Hm, let me"),
        ("## A\nIt writes `<think>` first.", "## A\nIt writes `<think>` first.", ""),
    ],
)
def test_think_text_stands_apart(tiny_model, cards, said, text, thinking):
    model = open_model(str(tiny_model), None)
    ids = model.tokenizer(said, add_special_tokens=False)["input_ids"]
    made = summary(model, asks(cards)[0], "x", [*ids, model.tokenizer.eos_token_id, 0], 5)
    assert (made.text, made.thinking, made.finish_reason, made.completion_tokens) == (text, thinking, "stop", len(ids) + 1)
    assert split_thinking(said) == (text, thinking)
    answer = read_answer(completion(said), "key")  # from a server alike
    assert (answer.text, answer.reasoning) == (text, thinking)


def test_a_sample_that_thinks_aloud_is_no_good_example(cards):
    good = Generation("k", "card0", "x", cards[0].reference, "stop", 1, 1)
    assert CheckedSummary.sample(good, cards[0].source).accepted
    judged = CheckedSummary.sample(Generation(**{**asdict(good), "thinking": "Hm."}), cards[0].source)
    assert not judged.accepted
    assert judged.failed == ["thinking"]
    assert judged.text.startswith("<think>\nHm.\n</think>\n\n## ")
    assert "thinks aloud" in judged.reason


# --- what is refused --------------------------------------------------------------------------------------------------


def test_greedy_samples_and_temperature_make_the_ways_to_decode():
    assert decodings_of("generate", GenerateConfig()) == [GREEDY]
    assert decodings_of("generate", GenerateConfig(samples=2, greedy=False)) == sampled(2)
    assert decodings_of("generate", GenerateConfig(temperature=0.0)) == [GREEDY]
    assert decodings_of("sample", CONFIGS["sample"]()) == sampled(1)
    assert decodings_of("sample", CONFIGS["sample"](temperature=0.0)) == [GREEDY]
    with pytest.raises(ValueError, match=r"generate.greedy is false and generate.samples is 0, so nothing would be written"):
        decodings_of("generate", GenerateConfig(greedy=False))
    with pytest.raises(ValueError, match=r"sample.samples is 2 at temperature 0: all would be the same; set a temperature"):
        decodings_of("sample", CONFIGS["sample"](samples=2, temperature=0.0))


@pytest.mark.parametrize(
    ("systems", "words"),
    [
        ({"a": "no/such-model"}, 'cannot load the model "no/such-model"'),
        ({"a": "runs/none/sft-merged"}, "there is no folder runs/none/sft-merged; run the stage that makes it"),
        ({"a": "baseline:best"}, '"baseline:best" is no baseline; known: baseline:lead'),
        ({"a": {"modl": "x"}}, 'unknown key "generate.systems.a.modl" in the command line. Did you mean "model"?'),
        ({"a": {"model": "x", "backend": "vlm"}}, "Input should be 'transformers', 'vllm' or 'endpoint'"),
        ({"a": {"model": "x", "backend": "endpoint"}}, "backend endpoint takes a block `endpoint` with model and base_url"),
        ({"a": {"backend": "vllm"}}, "it names no model"),
        ({"a": {"model": "x", "max_model_len": 9}}, "are for the backend vllm, this one is transformers"),
        ({"../a": "x"}, '"../a" is to be a file\'s name; use letters'),
        ({}, "generate.systems names no model"),
    ],
)
def test_systems_that_cannot_be_are_named(tmp_path, cards, systems, words):
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        generate(tmp_path, cards, {"lead": "baseline:lead", **systems} if systems else systems)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("template", "has no chat template, so there is no prompt for it"),
        ("adapter", "holds an adapter, no whole model; run training.merge"),
        ("tokenizer", 'holds "Nimbus", which .* reads as a control token: its tokenizer is another'),
        ("long", r"the prompt of card card\d takes \d+ tokens and generate.max_new_tokens 4000 more, but .* takes 4096 in all"),
    ],
)
def test_models_that_cannot_take_the_prompts_are_refused_before_they_are_asked(tmp_path, cards, tiny_model, change, words):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    if change == "template":
        (folder / "chat_template.jinja").unlink()
    elif change == "adapter":
        (folder / "config.json").rename(folder / "adapter_config.json")
    elif change == "tokenizer":
        from transformers import AutoTokenizer

        other = AutoTokenizer.from_pretrained(folder)
        other.add_special_tokens({"additional_special_tokens": ["Nimbus"]})
        other.save_pretrained(folder)
        prompt = [*cards[0].prompt[:1], {"role": "user", "content": "Nimbus 2"}]
        cards = [HeldOut("card0", prompt, cards[0].source, "", "f")]
    with pytest.raises(ValueError, match=words):
        generate(tmp_path, cards, folder, **({"max_new_tokens": 4000} if change == "long" else {}))


def test_no_cards_and_a_reference_of_a_probe_are_refused(tmp_path, cards):
    with pytest.raises(ValueError, match=r"heldout.jsonl holds no card; .*data_prep.examples writes it"):
        generate(tmp_path, [], {"lead": "baseline:lead"})
    with pytest.raises(ValueError, match=r"nobody wrote a reference for a changed card; leave teacher out of probe.systems"):
        generate(tmp_path, [], {"teacher": "baseline:reference"}, "probe")


def test_a_mistake_on_the_command_line_is_one_line_and_code_2(tmp_path):
    for arguments, words in ((["--stage", "simple"], '--stage is "simple", expected generate, probe'), ([], "names no model")):
        done = run_command("-m", "eval.generate", "--run_dir", str(tmp_path), *arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


# --- systems without a model ------------------------------------------------------------------------------------------


def test_baselines_say_only_what_the_card_says(tmp_path, cards):
    text = lead(cards[0])
    assert "license:" not in text
    assert text.splitlines()[0] in cards[0].source
    assert len(text.split()) <= 400
    listed = front_matter(cards[0])
    assert "- **license**: " in listed
    assert "](https://" in listed
    sentences = extractive(cards[0])
    assert sentences.startswith(f"## {name_of(cards[0])}\n")
    assert all(
        result.passed for result in check_summary(sentences, cards[0].source) if result.name in ("links", "numbers", "names")
    )
    assert re.findall(r'<source url="([^"]+)">', cards[0].source)[0] in sentences
    rows = generate(tmp_path, cards, {"teacher": "baseline:reference"})
    assert [made.text for made in rows] == [reference(card) for card in cards] == [card.reference.strip() for card in cards]
    assert {(made.decoding, made.sample) for made in rows} == {("greedy", 0)}


def name_of(card):
    return re.search(r"^Model: .*/(.*)$", card.source, re.MULTILINE)[1]
