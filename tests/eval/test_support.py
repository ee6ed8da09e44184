"""Support by entailment checkers: what is a claim, what it is held against, how each kind of checker is asked, and the stage."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml
from chat_server import ChatServer, status
from commands import ROOT, run_here

from data_prep.core.files import read_dicts, read_jsonl, write_jsonl
from data_prep.core.recipe import Recipe, load
from data_prep.core.records import Generation, HeldOut
from data_prep.prompts.student import source_text
from data_prep.synthetic.world import raw_cards
from eval.entailment.calibration import synthetic_claims
from eval.entailment.checkers import KNOWN, Checker, Item, contract_of
from eval.entailment.chunks import Ranking, chunks_of
from eval.entailment.endpoint_checker import read_verdict
from eval.entailment.local_checker import supported_index
from eval.entailment.statements import statements
from eval.support import SupportConfig, main, open_checker, read_calibration

FACTCG, MINICHECK, FLAN = (
    "yaxili96/FactCG-DeBERTa-v3-Large",
    "lytang/MiniCheck-RoBERTa-Large",
    "lytang/MiniCheck-Flan-T5-Large",
)


def words(texts):
    return [len(text.split()) for text in texts]


# --- claims -----------------------------------------------------------------------------------------------------------

SUMMARY = """# Lumen-3B

Lumen has 3.5B parameters, e.g. Wide ones. It reads [the report](https://a.example/x.y?z=1.2 "Wide. Deep"). *Fast too!* Really

## Scores

- **MMLU**: 44.5 by `lm_eval(x)`
  - nested point here
- one

| Task | Score |
|---|---|
| GSM8K | 25.3 |

```
no claim here
```
"""


def test_bullets_rows_and_sentences_are_claims_and_headings_are_not():
    found = statements(SUMMARY)
    assert [one.claim for one in found] == [
        "Lumen has 3.5B parameters, e.g. Wide ones.",
        "It reads the report.",
        "Fast too!",
        "Scores: MMLU: 44.5 by lm_eval(x)",
        "Scores: nested point here",
        "Scores: Task: GSM8K; Score: 25.3",
    ]
    assert SUMMARY[found[1].start : found[1].end] == 'It reads [the report](https://a.example/x.y?z=1.2 "Wide. Deep").'
    assert SUMMARY[found[4].start : found[4].end] == "- nested point here"
    assert SUMMARY[found[5].start : found[5].end] == "| GSM8K | 25.3 |"


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_chunks_keep_every_word_within_the_limit():
    for raw in raw_cards(3, 6):
        source = source_text(raw.model_id, raw.content, raw.notes)
        chunks = chunks_of(source, 40, words)
        assert max(words(chunks)) <= 40 + 2  # a page's address stands before its notes
        bare = re.sub(r'<source url="[^"]+">|</source>', " ", source).split()
        told = " ".join(re.sub(r"^Page \S+:\n", "", chunk) for chunk in chunks).split()
        assert told == bare
        for note in raw.notes:
            assert any(chunk.startswith(f"Page {note.url}:\n") for chunk in chunks)
        if raw.content.startswith("---"):
            assert chunks[0].rstrip().endswith("---")


def test_a_heading_goes_with_what_it_is_over_and_a_long_line_is_cut():
    text = "one two three four\n\n# Scores\n\nfive six seven\n\n" + " ".join(["word"] * 23)
    chunks = chunks_of(text, 8, words)
    assert chunks[:2] == ["one two three four", "# Scores\nfive six seven"]
    assert [len(chunk.split()) for chunk in chunks[2:]] == [5, 6, 6, 6]


def test_the_chunks_that_share_rare_words_are_asked():
    chunks = [f"the model was trained on data number {index}" for index in range(20)] + ["the licence is openrail"]
    ranking = Ranking(chunks)
    assert "the licence is openrail" in ranking.best("the model has the licence openrail", 3)
    assert ranking.best("trained on data number 7", 2)[0] == chunks[7] or chunks[7] in ranking.best("data number 7", 2)
    assert ranking.best("anything", None) == chunks


# --- checkers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tokenizer):
    """A tiny DeBERTa whose head says label 1 with a probability of sigmoid(3) where its features are nought."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        type_vocab_size=0,
        initializer_range=0.5,
    )
    folder = tmp_path_factory.mktemp("checkers") / "tiny-deberta"
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory, tokenizer):
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    folder = tmp_path_factory.mktemp("checkers") / "tiny-t5"
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


ITEMS = [
    Item("a", "It has 3B parameters.", ("Lumen has {3B} parameters.", "Its licence is mit, and it is fast.")),
    Item("b", "Its licence is gpl.", ("Its licence is mit, and it is fast.",)),
]


def verdicts(checker, items=ITEMS):
    return {verdict.key: verdict for group in checker.check(items, set()) for verdict in group}


def test_a_known_classifier_is_asked_as_its_authors_ask_it(classifier, tokenizer, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    asked = {
        MINICHECK: lambda document, claim: document + tokenizer.eos_token + claim,
        FACTCG: lambda document, claim: (
            f'{document}\n\nChoose your answer: based on the paragraph above can we conclude that "{claim}"?'
            "\n\nOPTIONS:\n- Yes\n- No\nI think the answer is "
        ),
    }
    for known, build in asked.items():
        found = verdicts(open_checker(Checker(model=str(classifier), like=known), tmp_path / "a.sqlite"))
        for item in ITEMS:
            with torch.inference_mode():
                texts = [tokenizer(build(chunk, item.claim), return_tensors="pt") for chunk in item.chunks]
                logits = [model(text["input_ids"], text["attention_mask"]).logits for text in texts]
            scores = [float(torch.softmax(one, -1)[0, 1]) for one in logits]
            assert found[item.key].score == pytest.approx(max(scores), abs=1e-5)
            assert found[item.key].best == scores.index(max(scores))


def test_a_known_seq2seq_checker_answers_by_its_first_token(seq2seq, tokenizer, tmp_path):
    import torch
    from transformers import T5ForConditionalGeneration

    model = T5ForConditionalGeneration.from_pretrained(seq2seq).eval()
    found = verdicts(open_checker(Checker(model=str(seq2seq), like=FLAN), tmp_path / "a.sqlite"))
    text = "predict: " + ITEMS[1].chunks[0] + tokenizer.eos_token + ITEMS[1].claim
    first = model.generate(
        **{"input_ids": tokenizer(text, return_tensors="pt")["input_ids"]},
        max_new_tokens=1,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    ).logits[0][0]
    assert found["b"].score == pytest.approx(float(torch.softmax(first[[3, 209]], 0)[1]), abs=1e-5)


def test_verdicts_of_two_precisions_are_kept_apart_and_what_auto_comes_to_is_named(classifier, tmp_path):
    def identity(dtype):
        config = Checker(model=str(classifier), like=FACTCG, dtype=dtype, device="cpu")
        return open_checker(config, tmp_path / "a.sqlite").identity

    assert identity("auto") == identity("float32") != identity("bfloat16")


def test_only_the_document_is_cut(classifier, tmp_path):
    checker = open_checker(Checker(model=str(classifier), like=FACTCG, max_tokens=64), tmp_path / "a.sqlite")
    text, cut = checker._fitted("word " * 300, "the claim itself")
    assert cut
    assert '"the claim itself"' in text
    assert text.startswith("word word")
    assert text.endswith("the answer is ")
    assert checker.count([text])[0] <= 64
    assert checker._fitted("word", "the claim itself")[1] is False
    wild = Item("w", "claim " * 500, ("word " * 300,))
    assert verdicts(checker, [wild])["w"].cut


@pytest.mark.parametrize(
    ("names", "wanted", "said"),
    [
        ({0: "entailment", 1: "not_entailment"}, None, None),
        ({0: "LABEL_0", 1: "LABEL_1"}, None, "ambiguous; set supported_label"),
        ({0: "LABEL_0", 1: "LABEL_1"}, 0, None),
        ({0: "LABEL_0", 1: "LABEL_1"}, 2, "has the labels 0 LABEL_0, 1 LABEL_1"),
        ({0: "one"}, None, "has one output"),
    ],
)
def test_the_label_that_means_support_is_never_guessed(names, wanted, said):
    if said is None:
        assert supported_index(SimpleNamespace(id2label=names), wanted, "m") == 0
    else:
        with pytest.raises(ValueError, match=said):
            supported_index(SimpleNamespace(id2label=names), wanted, "m")


def test_what_cannot_be_a_checker_is_refused_in_words(classifier, tiny_model, tokenizer, tmp_path):
    def refusal(**config):
        with pytest.raises(ValueError, match=r".") as caught:
            verdicts(open_checker(Checker(**config), tmp_path / "a.sqlite"))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "say kind" in refusal(model="some/model")
    assert "there is no folder" in refusal(model="./nowhere", like=FACTCG)
    assert "download it first, or correct model" in refusal(model="nobody/has-this", kind="classifier")
    assert "Did you mean" in refusal(model=str(classifier), like=FACTCG.lower())
    assert "lacks {document} or {claim}" in refusal(model=str(classifier), kind="classifier", template="{claim}")
    assert "needs template and answer_tokens" in refusal(model=str(classifier), kind="seq2seq")
    assert "lacks `endpoint`" in refusal(kind="endpoint")
    assert "ambiguous" in refusal(model=str(classifier), kind="classifier")
    assert "is no finished checker" in refusal(model=str(tiny_model), kind="classifier", supported_label=1)

    remote, pickled = tmp_path / "hhem", tmp_path / "pickled"
    for folder in (remote, pickled):
        folder.mkdir()
        tokenizer.save_pretrained(folder)
    (remote / "config.json").write_text(
        json.dumps({"model_type": "HHEMv2", "auto_map": {"AutoModelForSequenceClassification": "modeling.HHEM"}})
    )
    assert "trust_remote_code" in refusal(model=str(remote), kind="classifier")
    (pickled / "config.json").write_bytes((classifier / "config.json").read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"a pickle")
    assert "save_pretrained(FOLDER)" in refusal(model=str(pickled), like=MINICHECK)


def test_a_known_id_needs_nothing_else_and_a_copy_has_no_commit_of_it():
    assert contract_of(Checker(model=FACTCG)).revision == KNOWN[FACTCG].revision
    assert contract_of(Checker(model="somewhere/copy", like=FACTCG)).revision is None
    assert contract_of(Checker(model=FLAN, max_tokens=600)).max_tokens == 600


@pytest.mark.parametrize(
    ("answer", "score", "quoted"),
    [
        ('{"quote": "licence is  MIT", "supported": true}', 1.0, True),
        ('Sure:\n```json\n{"quote": "never said", "supported": true}\n```', 1.0, False),
        ('{"quote": "", "supported": false}', 0.0, None),
        ('{"supported": "yes"}', None, None),
        ("I think it is supported.", None, None),
        ('{"quote": {}} {"quote": "", "supported": false}', 0.0, None),
    ],
)
def test_an_endpoints_answer_is_read_or_counted_as_unread(answer, score, quoted):
    found = read_verdict(ITEMS[1], answer)
    assert (found.score, found.quoted) == (score, quoted)


# --- the stage --------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\d[\d.,]*\d|\d")


def part(text, name):
    return re.search(rf"\[\[\w+ {name} begins\]\]\n(.*?)\n\[\[\w+ {name} ends", text, re.DOTALL)[1]


def compares_numbers(body):
    """A chat model that finds a statement supported where the excerpts hold all its figures."""
    text = body["messages"][-1]["content"]
    excerpts, statement = part(text, "excerpts"), part(text, "statement")
    if "Researchers who consider" in statement:
        return "I would rather not say."
    figures = NUMBER.findall(statement)
    return json.dumps({"quote": excerpts[:20], "supported": all(figure in excerpts for figure in figures)})


@pytest.fixture
def run_dir(tmp_path):
    """Three cards; `good` copies the references, `bad` has one figure wrong and, for the last card, says nothing."""
    cards, good, bad = [], [], []
    for index, raw in enumerate(raw_cards(5, 3)):
        source, text = source_text(raw.model_id, raw.content, raw.notes), raw.summaries[0]
        cards.append(HeldOut(f"c{index}", [], source, text, f"family{index}"))
        good.append(Generation(f"good{index}", f"c{index}", "good", text, "stop", 1, 1))
        wrong = re.sub(r"(\d+) (\w+ )?GPUs|score of [\d.]+|reports [\d.]+", "the card reports 987654.3", text, count=1)
        bad.append(Generation(f"bad{index}", f"c{index}", "bad", wrong if index < 2 else "", "stop", 1, 1))
    write_jsonl(tmp_path / "data" / "heldout.jsonl", cards)
    write_jsonl(tmp_path / "eval" / "generations" / "good.jsonl", good)
    write_jsonl(tmp_path / "eval" / "generations" / "bad.jsonl", bad)
    return tmp_path


def recipe_for(run_dir, *checkers, **block):
    path = run_dir / "eval.yaml"
    block = {"checkers": list(checkers), "bootstrap_samples": 1000, **block}
    path.write_text(yaml.safe_dump({"run_dir": str(run_dir), "seed": 1, "support": block}))
    return path


def endpoint(server, name="compares-numbers", **more):
    return {"endpoint": {"model": name, "base_url": server.url, "concurrency": 4, "retries": 0, **more}}


def support(recipe, *arguments):
    return run_here("eval.support", "--config", str(recipe), *arguments)


def test_two_checkers_calibrated_and_compared(run_dir, classifier, capsys):
    labels = run_dir / "labels.jsonl"
    write_jsonl(labels, synthetic_claims(8))
    with ChatServer(reply=compares_numbers) as server:
        recipe = recipe_for(run_dir, endpoint(server), {"model": str(classifier), "like": FACTCG}, calibration=str(labels))
        main(load("support", SupportConfig, ["--config", str(recipe)]))
        asked = len(server.asked)
        capsys.readouterr()
        main(load("support", SupportConfig, ["--config", str(recipe)]))
        assert "done already" in capsys.readouterr().out
        assert len(server.asked) == asked
    figures = json.loads((run_dir / "eval" / "measures" / "support.json").read_text())
    rows = {row["key"]: row for row in read_dicts(run_dir / "eval" / "measures" / "support.jsonl")}

    first = figures["checkers"][0]["calibration"]
    assert first["sensitivity"]["mean"] == 1.0
    assert 0.5 < first["specificity"]["mean"] < 1.0
    assert first["by_fault"]["number changed"] == {"found": 4, "n": 4}
    assert figures["metrics"][0]["name"] == "support"
    assert figures["printed"] is True
    assert rows["good0"]["metrics"]["support"] == 1.0
    assert rows["bad0"]["metrics"]["support"] < 1.0
    assert rows["bad2"]["metrics"]["support"] is None
    text = next(row["text"] for row in read_dicts(run_dir / "eval" / "generations" / "bad.jsonl"))
    flagged = [text[span["start"] : span["end"]] for span in rows["bad0"]["spans"] if "compares-numbers 0.00" in span["label"]]
    assert len(flagged) == 1
    assert "987654.3" in flagged[0]

    good = figures["systems"]["good"]
    silent = sum(
        "Researchers who consider" in row["text"] for row in read_dicts(run_dir / "eval" / "generations" / "good.jsonl")
    )
    assert good["support"]["n"] == 3
    assert good["support"]["unread"] == silent > 0
    assert figures["systems"]["bad"]["support"]["n"] == 2
    assert good["support"]["corrected"]["mean"] == 1.0
    assert 0 <= good["agreement"]["differ"] <= 1
    notes = " ".join(figures["notes"])
    assert "32 of the 32 labels are synthetic" in notes
    assert "could not be read" in notes
    assert "kappa" in notes
    # The random classifier cannot tell true from false, so its shares are in no mean.
    assert [metric["name"] for metric in figures["metrics"]] == ["support"]
    assert "support_2" not in rows["good0"]["metrics"]
    assert "hardly better than a coin" in notes
    assert figures["systems"]["good"]["support_2"]["corrected"]["mean"] is None
    assert len(list(read_dicts(run_dir / "eval" / "support" / "to_label.jsonl"))) > 50


def test_a_killed_run_goes_on_and_asks_nothing_twice(run_dir):
    with ChatServer(reply=compares_numbers, answer_s=0.05) as server:
        recipe, store = recipe_for(run_dir, endpoint(server)), run_dir / "eval" / "support" / "compares-numbers.jsonl"
        process = subprocess.Popen(
            [sys.executable, "-m", "eval.support", "--config", str(recipe)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        end = time.monotonic() + 60
        while (not store.exists() or store.read_bytes().count(b"\n") < 8) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = store.read_bytes().count(b"\n")
        assert kept >= 8
        with open(store, "a") as handle:
            handle.write('{"key": "half a li')
        # Without the client's own answers, so that only the store can know.
        for file in (run_dir / "eval" / "support").glob("answers.sqlite*"):
            file.unlink()
        before = len(server.asked)
        done = support(recipe)
        assert done.returncode == 0, done.stderr
        asked = len(server.asked) - before
    rows = list(read_dicts(store))
    assert len(rows) == len({row["key"] for row in rows}) == kept + asked
    assert f"{kept} of {len(rows)} verdicts by compares-numbers are there already" in done.stdout


def test_claims_without_an_answer_leave_the_measures_as_they_were(run_dir):
    figures = run_dir / "eval" / "measures" / "support.json"
    with ChatServer(reply=compares_numbers) as server:
        recipe = recipe_for(run_dir, endpoint(server))
        main(load("support", SupportConfig, ["--config", str(recipe), "--support.cards", "1"]))
        before, victim = figures.read_bytes(), server.asked[0]
        store = run_dir / "eval" / "support" / "compares-numbers.jsonl"
        store.unlink()
        for file in store.parent.glob("answers.sqlite*"):
            file.unlink()
        server.trouble = {victim: [status(400, "too long")]}
        done = support(recipe)
        assert done.returncode == 2
        assert "1 claim got no answer" in done.stderr
        assert "left as they were" in done.stderr
        assert figures.read_bytes() == before
        server.asked.clear()
        assert support(recipe).returncode == 0
        assert server.asked == [victim]
    assert figures.read_bytes() != before


def test_a_relative_of_the_run_does_not_check_it(run_dir):
    manifests = {
        "eval/generations/good.manifest.json": {"recipe": {"model": "HuggingFaceTB/SmolLM3-3B"}},
        "data/write.manifest.json": {"recipe": {"write": {"teachers": [{"model": "Qwen/Qwen3-235B"}]}}},
    }
    for name, content in manifests.items():
        (run_dir / name).write_text(json.dumps(content))
    with ChatServer(reply=compares_numbers) as server:
        for name, said in (("smollm3-3b", "one of the systems under test"), ("Qwen/Qwen3-235B", "the teacher of this run")):
            recipe = recipe_for(run_dir, endpoint(server, name))
            with pytest.raises(ValueError, match=said):
                main(load("support", SupportConfig, ["--config", str(recipe)]))
        assert not server.asked


def test_mistakes_are_told_in_one_line(run_dir):
    with pytest.raises(ValueError, match=r"label eval/support/to_label\.jsonl"):
        read_calibration(str(run_dir / "none.jsonl"))
    here = {"endpoint": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    block = SupportConfig(checkers=[Checker(**here), Checker(**here)])
    with pytest.raises(ValueError, match="both checkers are called"):
        main(Recipe(stage="support", run_dir=run_dir, seed=1, block=block))


def test_a_baseline_beside_a_sampled_system_has_its_share_too(run_dir):
    """A baseline's rows are greedy whatever the decoding, and stand for both."""
    folder = run_dir / "eval" / "generations"
    good = [replace(row, decoding="sampled") for row in read_jsonl(folder / "good.jsonl", Generation)]
    lead = [
        replace(row, key=f"lead{row.id}", system="lead", prompt_tokens=0, completion_tokens=0, decoding="greedy")
        for row in good
    ]
    write_jsonl(folder / "good.jsonl", good)
    write_jsonl(folder / "lead.jsonl", lead)
    with ChatServer(reply=compares_numbers) as server:
        done = support(recipe_for(run_dir, endpoint(server), systems=["good", "lead"]))
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads((run_dir / "eval/measures/support.json").read_text())["systems"]) == ["good", "lead"]
