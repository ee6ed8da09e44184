"""Splits by lineage: what ties cards together, that nothing crosses, and that a split once made stands."""

import json
import random

import pytest
from commands import run_command

from data_prep.cards.parse import parse_card
from data_prep.core.files import read_jsonl, write_jsonl
from data_prep.core.manifest import manifest_of
from data_prep.core.recipe import load
from data_prep.core.records import Card, RawCard, Rejected
from data_prep.lineage.keys import source_key, stem, training_only
from data_prep.lineage.minhash import NearDuplicates, signature
from data_prep.lineage.ties import ties
from data_prep.split import SplitConfig, check, main

VOCABULARY = [
    f"{a}{b}"
    for a in ("bar", "cel", "dov", "fen", "gul", "hap", "jor", "kem", "lis")
    for b in ("ado", "ine", "ura", "ost", "em", "ik")
]


def prose(seed, count=80):
    rng = random.Random(seed)
    return " ".join(rng.choice(VOCABULARY) for _ in range(count))


def card(model_id, text=None, base=None, links=()):
    front = f"---\nbase_model: {base}\n---\n" if base else ""
    addresses = "".join(f"\n\n<{link}>" for link in links)
    return parse_card(RawCard(model_id, f"{front}{prose(model_id) if text is None else text}{addresses}", "test"))


@pytest.fixture
def run(tmp_path):
    def run(cards, action=main, **block):
        path = tmp_path / "data" / "cards.jsonl"
        if cards is not None:
            write_jsonl(path, cards)
        arguments = [part for key, value in block.items() for part in (f"--split.{key}", str(value))]
        action(load("split", SplitConfig, ["--run_dir", str(tmp_path), "--seed", "5", *arguments]))
        rejected = [row for row in read_jsonl(tmp_path / "data" / "rejected.jsonl", Rejected) if row.stage == "split"]
        written = json.loads((tmp_path / "data" / "split.json").read_text())
        return written["families"], written["splits"], rejected

    return run


def strangers(count, prefix="Own"):
    return [card(f"{prefix}{number}/thing{number}") for number in range(count)]


# --- ties -------------------------------------------------------------------------------------------------------------

RELATED = {
    "parent": (card("A/marlo-7b"), card("B/tuned-thing", base="a/Marlo-7B")),
    "siblings": (card("B/x-tuned", base="A/marlo-7b"), card("C/y-tuned", base="A/marlo-7b")),
    "quantised": (card("A/marlo-7b-chat"), card("B/Marlo-7B-chat-GGUF")),
    "re-uploaded": (card("A/marlo-7b"), card("B/marlo-7b")),
    "paper": (
        card("A/x", links=["https://arxiv.org/abs/2401.00001"]),
        card("B/y", links=["https://arxiv.org/pdf/2401.00001v3.pdf"]),
    ),
    "repository": (
        card("A/x", links=["https://github.com/Ana/Kit"]),
        card("B/y", links=["https://github.com/ana/kit/tree/main/src"]),
    ),
    "page": (
        card("A/x", links=["https://shell.example/blog/a?utm_source=card"]),
        card("B/y", links=["http://www.shell.example/blog/a/#top"]),
    ),
    "one source of three": (
        card("A/x", links=["https://github.com/ana/kit", "https://arxiv.org/abs/2401.00001"]),
        card("B/y", links=["https://github.com/ana/kit", "https://arxiv.org/abs/2401.00002"]),
    ),
    "same text": (
        card("A/x", text="Only eight words but the very same ones"),
        card("B/y", text="only eight words, but the very same ones!"),
    ),
    "near text": (
        card("A/x", text=prose(1, 200)),
        card("B/y", text=prose(1, 200).replace("barado", "other", 1) + " and a little more at the end"),
    ),
}
UNRELATED = {
    "owner": (card("A/marlo-7b"), card("A/quint-3b")),
    "size": (card("A/marlo-7b"), card("B/marlo-13b")),
    "general name": (card("A/my-model"), card("B/my-model")),
    "tool": (
        card("A/x", links=["https://github.com/huggingface/transformers"]),
        card("B/y", links=["https://github.com/huggingface/transformers"]),
    ),
    "front page": (card("A/x", links=["https://shell.example/en/"]), card("B/y", links=["https://shell.example/en/"])),
    "one source of many": (
        card(
            "A/x", links=["https://github.com/ana/kit", "https://arxiv.org/abs/2401.00001", "https://arxiv.org/abs/2401.00002"]
        ),
        card("B/y", links=["https://github.com/ana/kit", "https://arxiv.org/abs/2401.00003"]),
    ),
    "half a text": (card("A/x", text=prose(1, 100) + prose(2, 100)), card("B/y", text=prose(1, 100) + prose(3, 100))),
    "mention": (card("A/marlo-7b"), card("B/other", text=f"It scores above A/marlo-7b. {prose(9)}")),
    "local parent": (card("A/x", base="./out"), card("B/y", base="./out")),
}


@pytest.mark.parametrize("name", RELATED)
def test_related_cards_are_one_family(run, name):
    families, splits, _ = run(RELATED[name])
    assert len(set(families.values())) == 1
    assert len(splits) == 2


@pytest.mark.parametrize("name", UNRELATED)
def test_unrelated_cards_are_two_families(run, name):
    assert len(set(run(UNRELATED[name])[0].values())) == 2


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("Ana/Marlo-2-7B-Chat", "marlo-2-7b-chat"),
        ("Q/marlo-2-7b-chat-hf", "marlo-2-7b-chat"),
        ("Q/Marlo-2-7B-Chat-GPTQ", "marlo-2-7b-chat"),
        ("Q/Marlo-2-7B-Chat-AWQ-4bit-128g", "marlo-2-7b-chat"),
        ("Q/Marlo-2-7B-Chat-4-bit-mlx", "marlo-2-7b-chat"),
        ("Q/Marlo_2_7B_chat-i1-GGUF", "marlo-2-7b-chat"),
        ("Q/Marlo-2-7B-Chat-Q4_K_M-GGUF", "marlo-2-7b-chat"),
        ("Q/Marlo-2-7B-Chat-5.0bpw-h6-exl2", "marlo-2-7b-chat"),
        ("Q/marlo-2-7b-chat-bnb-4bit", "marlo-2-7b-chat"),
        ("Q/Marlo-2-7B-Instruct", "marlo-2-7b-instruct"),
        ("Q/marlo", None),
        ("Q/test-model", None),
        ("Q/GGUF", None),
    ],
)
def test_names_of_copies(model_id, name):
    assert stem(model_id) == name


COPIES = (
    "UD-Q4_K_XL UD-Q4_K_XL-GGUF GGUF-UD-IQ2_XXS Q4_0_4_4-GGUF TQ1_0 IQ4_NL GGUF-IQ-Imatrix iMat-GGUF gguf-q4_k_m-imat GGUFs llamafile "
    "Q4_K_M.llamafile q4f16_1-MLC MLC-q0f16 torchao torchao-int4wo-hqq float8dq FP8-TORCHAO 8da4w INT8-INT4 DWQ 4bit-DWQ-053125 4bit-DWQ-v2 "
    "qx64-mlx mixed_3_6bit 4bit-mixed_4_6 mlx-4bit mlx-8Bit int4-awq exl2 exl2-4_0 exl3 exl3-3.0bpw bnb-4bit nf4 HQQ-4bit-smashed "
    "AQLM-2Bit-1x16-hf VPTQ-v8-k65536-0-woft GPTQ-4bit-128g-actorder_True auto-round-int4 int4-mixed-AutoRound qat-q4_0-unquantized "
    "SpinQuant_INT4_EO8 FP8-Dynamic FP8-block FP8-KV fp8-e4m3 NVFP4 NVFP4A16 MXFP4 MXFP8 W4A16 W4A16-asym W4A16-G128 quantized.w8a8 w4afp8 "
    "compressed-tensors float16 DF11 onnx ONNX-web cpu-int4-rtn-block-32-onnx cuda-fp16-onnx onnx-qnn openvino openvino-int4-sym int4-cw-ov "
    "coreml coreml-int4 mlpackage tflite litert-lm executorch TensorRT-LLM rk3588-rkllm MNN"
).split()


@pytest.mark.parametrize("ending", COPIES)
def test_copies_in_other_forms_bear_the_name_of_their_model(ending):
    assert stem(f"Q/Marlo-2-7B-Chat-{ending}") == "marlo-2-7b-chat"


@pytest.mark.parametrize("ending", "v2 2507 053125 mixed web static block-2 7B-v2 1M hi turbo f8 kv true lm 8x7b".split())
def test_what_tells_more_of_a_form_is_a_models_own_where_no_form_is_named(ending):
    assert stem(f"Q/Marlo-2-7B-{ending}") == f"marlo-2-7b-{ending.lower()}"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("https://arxiv.org/abs/2401.00001v2", "paper:arxiv:2401.00001"),
        ("https://www.arxiv.org/pdf/2401.00001", "paper:arxiv:2401.00001"),
        ("https://huggingface.co/papers/2401.00001", "paper:arxiv:2401.00001"),
        ("https://doi.org/10.48550/arXiv.2401.00001", "paper:arxiv:2401.00001"),
        ("https://arxiv.org/abs/cs/0112017", "paper:arxiv:cs/0112017"),
        ("https://doi.org/10.1000/Shell.7", "paper:doi:10.1000/shell.7"),
        ("https://aclanthology.org/2023.acl-long.1.pdf", "paper:acl:2023.acl-long.1"),
        ("https://openreview.net/forum?id=Ab1", "paper:openreview:Ab1"),
        ("https://www.aclweb.org/anthology/2020.sdp-1.1/", "paper:acl:2020.sdp-1.1"),
        ("https://github.com/Ana/Kit.git", "repo:ana/kit"),
        ("https://raw.githubusercontent.com/Ana/Kit/main/README.md", "repo:ana/kit"),
        ("https://shell.example/blog/A?b=2&a=1&utm_source=x#top", "page:shell.example/blog/A?a=1&b=2"),
        ("https://huggingface.co/datasets/Ana/Letters/tree/main", "page:huggingface.co/datasets/ana/letters"),
        ("https://hf.co/spaces/Ana/Demo", "page:huggingface.co/spaces/ana/demo"),
        ("https://huggingface.co/Ana/marlo", None),
        ("https://huggingface.co/docs/transformers/main", None),
        ("https://docs.shell.example/guide/start", None),
        ("https://en.wikipedia.org/wiki/Shell", None),
        ("https://shell.example/", None),
        ("https://shell.example/en/about", None),
        ("https://twitter.com/ana", None),
        ("https://github.com/Ana", None),
        ("https://arxiv.org/list/cs.CL", None),
        ("https://doi.org/", None),
        ("http://[::1", None),
    ],
)
def test_one_key_for_a_source_under_its_addresses(address, key):
    assert source_key(address) == key


def test_near_duplicates_are_found_by_their_estimated_similarity():
    text = prose(1, 300).split()
    long, short, tiny = (signature(text[:size]) for size in (250, 80, 20))
    others = {str(number): signature(prose(f"n{number}", 40).split()) for number in range(1500)}
    near = NearDuplicates(0.5, [signature(text), long, short, tiny, *others.values(), *others.values()])
    near.add("one", signature(text), [])
    [(other, similarity)] = near.find(long)
    assert other == "one"
    assert similarity == pytest.approx(246 / 296, abs=0.1)
    assert not near.find(short)
    assert tiny is None  # too short to mean anything
    assert not near.find(tiny)
    for name, sketch in others.items():
        near.add(name, sketch, [])
    assert near.find(others["1400"]) == [("1400", 1.0)]
    near.add("twin", others["1400"], near.find(others["1400"]))
    assert near.find(others["1400"]) == [("1400", 1.0)]  # its twin stands for it


def test_a_source_that_many_cards_cite_ties_none(run):
    cards = [card(f"O{number}/m{number}", links=["https://github.com/ana/kit"]) for number in range(6)]
    assert len(set(run(cards, max_shared_citations=6)[0].values())) == 1


def test_a_source_that_too_many_cards_cite_ties_none(run):
    cards = [card(f"O{number}/m{number}", links=["https://github.com/ana/kit"]) for number in range(6)]
    assert len(set(run(cards, max_shared_citations=5)[0].values())) == 6


def links_to(number, common):
    return [f"https://own{number}.example/paper/{number}", f"https://own{number}.example/data/{number}", common]


def test_a_page_that_two_splits_link_to_serves_training_cards_only(run, tmp_path):
    address = "https://github.com/ana/kit"
    cards = [card(f"O{number}/m{number}", links=links_to(number, address)) for number in range(20)]
    run(cards, heldout=0.3)
    common = json.loads((tmp_path / "data" / "split.json").read_text())["common_sources"]
    assert common == ["repo:ana/kit"]
    assert training_only(address, common)
    assert training_only("https://shell.example/", common)  # no key says whose page it is
    assert not training_only("https://own3.example/paper/3", common)


def test_a_page_of_one_split_serves_its_cards(run, tmp_path):
    run([*RELATED["paper"], *strangers(20)], heldout=0.3)
    assert json.loads((tmp_path / "data" / "split.json").read_text())["common_sources"] == []


def test_shipped_places_hold_for_cards_that_come_later(run, tmp_path):
    cards, shipped = strangers(40), tmp_path / "shipped.json"
    _, before, _ = run(cards)
    shipped.write_text((tmp_path / "data" / "split.json").read_text())
    (tmp_path / "data" / "split.json").unlink()
    run(cards[:10], placed=shipped)
    _, after, _ = run(cards, placed=shipped)
    assert after == before


def test_shipped_places_stand_where_the_seed_would_say_otherwise(run, tmp_path):
    cards, shipped = strangers(40), tmp_path / "shipped.json"
    _, drawn, _ = run(cards)
    (tmp_path / "data" / "split.json").unlink()
    turned = {"train": "heldout", "validation": "train", "heldout": "validation"}
    places = {card: turned[split] for card, split in drawn.items()}
    shipped.write_text(json.dumps({"splits": places, "families": {card: card for card in places}}))
    run(cards[:10], placed=shipped)
    _, now, _ = run(cards, placed=shipped)
    assert now == places
    assert "shipped.json" in manifest_of(tmp_path / "data", "split")["inputs"]


def test_a_source_that_becomes_common_makes_no_tie_between_placed_cards(run):
    def pair(number):
        for side in "ab":
            rare = [f"https://github.com/{side}{number}/{part}" for part in ("code", "data")]
            yield card(f"{side}{number}/thing{number}", links=[f"https://github.com/shared/{number}", *rare])

    pairs = [list(pair(number)) for number in range(12)]
    cards = [one for both in pairs for one in both]
    _, splits, _ = run(cards, heldout=0.5, max_shared_citations=2)
    assert any(splits[one.id] != splits[other.id] for one, other in pairs)
    more = [card(f"C{number}/c{number}", links=[link for one in cards for link in one.links[1:]]) for number in range(3)]
    run([*cards, *more], heldout=0.5, max_shared_citations=2)
    run(None, check, heldout=0.5, max_shared_citations=2)


# --- what is too common to tie ----------------------------------------------------------------------------------------


def children(count, base="Ana/base-7b", owner="O"):
    return [card(f"{owner}{number}/tuned{number}", base=base) for number in range(count)]


def test_a_base_with_few_children_is_one_family_with_them(run):
    families, _, rejected = run([card("Ana/base-7b"), *children(4)], max_children=4)
    assert len(set(families.values())) == 1
    assert not rejected


def test_a_base_with_too_many_children_ties_none_and_is_set_aside(run):
    base = card("Ana/base-7b")
    families, splits, [rejected] = run([*children(5), base, card("Q/base-7b-GGUF", base="Ana/base-7b")], max_children=4)
    assert (rejected.id, rejected.reason) == (base.id, "a base whose children are in every split")
    assert "6 cards name ana/base-7b, split.max_children is 4" in rejected.detail
    assert len(set(families.values())) == len(splits) == 6
    run(None, check, max_children=4)


def test_children_of_a_popular_base_stay_tied_by_text_and_nearer_parents(run):
    tuned, grandchild = card("O/tuned", base="Ana/base-7b"), card("P/again", base="O/tuned")
    same = [card(f"S{number}/same{number}", base="Ana/base-7b", text=prose("same")) for number in range(2)]
    families, _, _ = run([*children(5), tuned, grandchild, *same], max_children=4)
    assert families[tuned.id] == families[grandchild.id]
    assert families[same[0].id] == families[same[1].id]
    assert len(set(families.values())) == 7


def test_a_base_that_stands_in_a_split_keeps_all_later_children(run):
    base = card("Ana/base-7b")
    _, splits, _ = run([base, *strangers(20)], heldout=0.3, max_children=4)
    _, later, rejected = run([base, *strangers(20), *children(9)], heldout=0.3, max_children=4)
    assert {later[child.id] for child in children(9)} == {splits[base.id]}
    assert not rejected
    run(None, check, heldout=0.3, max_children=4)


def test_a_name_that_a_few_bear_ties_them(run):
    cards = [card(f"O{number}/ppo-lander-v2") for number in range(5)]
    assert len(set(run(cards, max_children=5)[0].values())) == 1


def test_a_name_that_too_many_bear_ties_none(run):
    cards = [card(f"O{number}/ppo-lander-v2") for number in range(5)]
    assert len(set(run(cards, max_children=4)[0].values())) == 5


def test_a_merge_of_many_models_is_set_aside(run):
    parents = [card(f"P{number}/part{number}") for number in range(4)]
    names = ", ".join(parent.model_id for parent in parents)
    families, _, [rejected] = run([*parents, card("M/merge", base=f"[{names}]")])
    assert (rejected.reason, rejected.detail) == ("a merge of too many models", "4 parents, split.max_parents is 3")
    assert len(set(families.values())) == 4


# --- shares and families ----------------------------------------------------------------------------------------------


def test_shares_are_met_by_whole_families(run, tmp_path):
    cards = [
        card(f"O{number}/v{number}-{copy}", base=f"O{number}/base") for number in range(60) for copy in range(1 + number % 4)
    ]
    families, splits, rejected = run(cards, heldout=0.2, validation=0.1)
    counts = {name: list(splits.values()).count(name) for name in ("train", "validation", "heldout")}
    assert counts == {"heldout": 30, "validation": 15, "train": 105}
    result = manifest_of(tmp_path / "data", "split")["result"]
    assert {name: result[f"{name}_cards"] for name in counts} == counts
    assert result["train_families"] + result["validation_families"] + result["heldout_families"] == len(set(families.values()))
    assert not rejected
    for family in set(families.values()):
        assert len({splits[card_id] for card_id in splits if families[card_id] == family}) == 1


def test_the_seed_decides_which_and_the_order_of_cards_does_not(run, tmp_path):
    cards = strangers(40)
    first = run(cards, heldout=0.25)[1]
    (tmp_path / "data" / "split.json").unlink()
    assert run(cards[::-1], heldout=0.25)[1] == first
    (tmp_path / "data" / "split.json").unlink()
    main(load("split", SplitConfig, ["--run_dir", str(tmp_path), "--seed", "6", "--split.heldout", "0.25"]))
    assert json.loads((tmp_path / "data" / "split.json").read_text())["splits"] != first


def test_a_family_over_the_cap_keeps_its_first_cards(run):
    cards = [card(f"O{number}/v{number}", base="Ana/base") for number in range(7)]
    families, splits, rejected = run(cards, family_cap=5)
    assert list(splits) == [one.id for one in cards[:5]]
    assert set(families.values()) == {min(splits)}
    assert [row.id for row in rejected] == [one.id for one in cards[5:]]
    assert {row.reason for row in rejected} == {"more relatives than split.family_cap"}


# --- frozen -----------------------------------------------------------------------------------------------------------


def test_more_cards_move_none_and_relatives_follow_their_family(run):
    cards = strangers(30)
    families, splits, _ = run(cards, heldout=0.3)
    held = next(one for one in cards if splits[one.id] == "heldout")
    child, grandchild = card("New/child", base=held.model_id), card("New/grand", base="New/child")
    later = run([grandchild, child, *cards, *strangers(30, "Later")], heldout=0.3)
    assert {card_id: later[1][card_id] for card_id in splits} == splits
    assert {card_id: later[0][card_id] for card_id in families} == families
    assert later[0][child.id] == later[0][grandchild.id] == families[held.id]
    assert later[1][child.id] == later[1][grandchild.id] == "heldout"
    assert abs(list(later[1].values()).count("heldout") - 0.3 * len(later[1])) <= 1


def test_what_would_tie_two_splits_is_set_aside_and_carries_no_tie(run):
    cards = strangers(20)
    _, splits, _ = run(cards, heldout=0.5)
    held, trained = (next(one for one in cards if splits[one.id] == name) for name in ("heldout", "train"))
    bridge = card("New/merge", base=f"[{held.model_id}, {trained.model_id}]")
    follower = card("New/follower", base="New/merge")
    _, later, [rejected] = run([bridge, *cards, follower], heldout=0.5)
    assert (rejected.id, rejected.reason) == (bridge.id, "would tie two splits together")
    assert f"model:{held.model_id.lower()} with {held.id} (heldout)" in rejected.detail
    assert bridge.id not in later
    assert follower.id in later


def test_a_chain_of_new_cards_between_two_splits_is_cut(run):
    cards = strangers(20)
    _, splits, _ = run(cards, heldout=0.5)
    held, trained = (next(one for one in cards if splits[one.id] == name) for name in ("heldout", "train"))
    chain = [
        card("New/one", base=held.model_id),
        card("New/two", base="New/one"),
        card("New/three", base=f"[New/two, {trained.model_id}]"),
    ]
    _, later, rejected = run([*cards, *chain], heldout=0.5)
    assert [row.id for row in rejected] == [chain[2].id]
    assert later[chain[0].id] == later[chain[1].id] == "heldout"


def test_the_cap_counts_the_cards_of_earlier_runs(run):
    first = [card(f"O{number}/v{number}", base="Ana/base") for number in range(3)]
    run(first, family_cap=4)
    _, splits, rejected = run([*first, card("P/p", base="Ana/base"), card("Q/q", base="Ana/base")], family_cap=4)
    assert (len(splits), len(rejected)) == (4, 1)


def test_other_settings_are_refused_for_a_frozen_split(run):
    run(strangers(5))
    with pytest.raises(ValueError, match="use the same settings, or delete the file"):
        run(strangers(6), heldout=0.3)


def test_a_finished_run_is_left_alone(run, capsys):
    run(strangers(5))
    capsys.readouterr()
    run(None)
    assert "done already" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"splits": {}}'])
def test_a_broken_split_is_not_overwritten(run, tmp_path, text):
    write_jsonl(tmp_path / "data" / "cards.jsonl", strangers(3))
    (tmp_path / "data" / "split.json").write_text(text)
    with pytest.raises(ValueError, match="cannot be read"):
        run(None)
    assert (tmp_path / "data" / "split.json").read_text() == text


def test_no_cards_and_no_room_are_said(run, capsys):
    with pytest.raises(ValueError, match="holds no card"):
        run([])
    run(strangers(1))
    assert "no family fits into heldout: collect more cards, or raise split.heldout" in capsys.readouterr().out


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_passes_what_split_made(run, capsys):
    cards = [*strangers(20), *RELATED["parent"], *[card(f"O{number}/w{number}", base="Ana/base") for number in range(60)]]
    run(cards, heldout=0.2)
    run(None, check, heldout=0.2)
    assert "nothing is shared between splits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("parent", "share model:a/marlo-7b"),
        ("paper", "share paper:arxiv:2401.00001"),
        ("page", "share page:shell.example/blog/a"),
        ("same text", "share text:"),
        ("near text", "of the text"),
    ],
)
def test_check_names_what_crosses(run, tmp_path, name, said):
    one, other = RELATED[name]
    run([one, other])
    path = tmp_path / "data" / "split.json"
    written = json.loads(path.read_text())
    written["splits"][other.id] = "heldout"
    path.write_text(json.dumps(written))
    with pytest.raises(ValueError, match="leaks between splits") as error:
        run(None, check)
    assert said in str(error.value)
    assert "share family:" in str(error.value)
    assert one.id in str(error.value)
    assert other.id in str(error.value)


def test_check_names_a_shared_page_that_is_not_declared(run, tmp_path):
    run(
        [card(f"O{number}/m{number}", links=links_to(number, "https://github.com/ana/kit")) for number in range(20)],
        heldout=0.3,
    )
    path = tmp_path / "data" / "split.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"common_sources": []}))
    with pytest.raises(ValueError, match="repo:ana/kit is linked from more than one split"):
        run(None, check, heldout=0.3)


def test_cards_that_left_the_collection_take_no_place_and_are_not_counted(run, tmp_path, capsys):
    run(strangers(8), heldout=0.25)
    capsys.readouterr()
    _, splits, _ = run(strangers(8, "New"), heldout=0.25)
    assert "split: 8 cards" in capsys.readouterr().out
    assert len(splits) == 16  # a place once given stays
    assert sum(split == "heldout" for split in splits.values()) == 4
    assert manifest_of(tmp_path / "data", "split")["result"]["heldout_cards"] == 2


def test_check_names_cards_that_no_split_knows(run, tmp_path):
    run(strangers(3))
    write_jsonl(tmp_path / "data" / "cards.jsonl", strangers(4))
    with pytest.raises(ValueError, match=r"1 card was collected since, first .*; run data_prep\.split"):
        run(None, check)


def test_check_is_a_flag_of_the_command(run, tmp_path):
    from commands import run_command

    run([*RELATED["parent"]])
    path = tmp_path / "data" / "split.json"
    arguments = ("-m", "data_prep.split", "--check", "--run_dir", str(tmp_path), "--seed", "5")
    assert run_command(*arguments).returncode == 0
    written = json.loads(path.read_text())
    written["splits"][RELATED["parent"][0].id] = "validation"
    path.write_text(json.dumps(written))
    done = run_command(*arguments)
    assert done.returncode == 2
    assert RELATED["parent"][0].id in done.stderr
    assert "Traceback" not in done.stderr


def test_ties_hold_no_text():
    kept = ties(card("A/x-7b", text=prose(1, 5000)))
    assert sum(map(len, kept.own)) < 200
    assert kept.signature.nbytes == 480
    assert isinstance(card("A/x"), Card)


# --- measuring --------------------------------------------------------------------------------------------------------


def test_recall_and_strangers_are_measured_against_a_record(tmp_path, capsys):
    from data_prep.measure_lineage import main as measure

    texts = {"one": prose(1), "copy": prose(1) + " end", "far": prose(2), "alien": prose(3), "other": prose(3)}
    near = {"copy": "one.md", "far": "one.md"}
    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text)
    rows = [
        {"file": f"{name}.md", "card_owner": f"O{name}", "card_name": name, "near_duplicate_of": near.get(name)}
        for name in texts
    ]
    write_jsonl(tmp_path / "index.jsonl", rows)
    measure(tmp_path, tmp_path / "index.jsonl")
    said = capsys.readouterr().out
    assert "5 cards, 2 recorded pairs" in said
    assert "0.5        50.0%     50.0%   2 (40.0%)" in said
    assert "far.md and one.md" in said
    assert "other.md and alien.md: 100% of the text" in said


def test_measuring_says_what_is_missing(tmp_path):
    from data_prep.measure_lineage import main as measure

    with pytest.raises(ValueError, match="holds no card; pass --index"):
        measure(tmp_path, tmp_path / "index.jsonl")
    write_jsonl(tmp_path / "index.jsonl", [{"file": "a.md", "card_owner": "A", "card_name": "x"}])
    with pytest.raises(ValueError, match=r"names a\.md, which is not in"):
        measure(tmp_path, tmp_path / "index.jsonl")


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path):
    done = run_command(
        "-m", "data_prep.split", "--run_dir", str(tmp_path), "--split.heldout", "0.6", "--split.validation", "0.6"
    )
    assert done.returncode == 2
    assert "leave nothing to train on" in done.stderr


def test_a_page_whose_notes_came_with_a_card_is_one_of_its_sources():
    card = parse_card(RawCard("a/Brindle-7B", "No link at all.", "test"))
    assert ties(card, ["https://osk.example/paper"]).sources == ("page:osk.example/paper",)
