"""Names as people shorten, join and capitalise them: those of the source are known, others and other versions are not."""

from __future__ import annotations

import pytest

from data_prep.checks import check_summary


def names(said: str, source: str):
    results = check_summary(f"It uses {said} here.", f"It uses {source} there.")
    return next(result for result in results if result.name == "names")


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("Kestrel-7B", "gado/kestrel-7b-instruct"),
        ("Kestrel-7B-Instruct", "gado/kestrel-7b-instruct"),
        ("Nyx-3-mini", "gado/nyx-3-mini-4k-instruct"),
        ("Plan-N5", "gado/plan-n5-base"),
        ("N5", "gado/plan-n5-base"),
        ("Murmur-large-v3", "gado/murmur-large-v3-turbo"),
        ("DoVERTa-v3", "gado/doverta-v3-base"),
        ("NilO-3", "nilo stage 3"),
        ("NilO-3", "nilo-3"),
        ("XLS-R-300M", "wave2vec2-xls-r-300m"),
        ("drums-melody-400M", "gado/tune-drums-melody-400m"),
        ("Orvan-3.1", "Meta-Orvan-3.1-8B-Instruct"),
    ],
)
def test_the_beginning_of_a_name_is_known_whatever_its_capitals(said, source):
    assert names(said, source).passed


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("FlareAttention", "flare attention"),
        ("FlareAttention", "flare\nattention"),
        ("FlareAttention-2", 'attn="flare_attention_2"'),
        ("quickText", "quicktext"),
        ("quickText", "quick-text"),
        ("SentenceMorphers", "sentence-morphers"),
        ("SentenceMorphers", "sentence\\_morphers"),
        ("StoredModel", "<!-- format: stored_model_2 -->"),
        ("VFO_2", "from it import VFO2HeadModel"),
        ("VFO-NeoX", "VFONeoXForCausalLM"),
        ("KTX", "Wave2Vec2ForKTX"),
        ("zd-v1-2", "https://kiln.example/files/zd-v1-2-full-ema.ckpt"),
        ("QuietNet15x15", "@misc{gado2022quietnet15x15-small,"),
        ("RoVERTa", "title={A {R}o{VERT}a with {S}entence"),
        ("wave2vec2.0", "wave2vec2-base"),
        ("Wave2Vec2", "wave2vec 2.0"),
        ("DoVERTa-v3", "DoVERTa version 3"),
        ("ROUGE-1", "ROUGE<sub>RAW</sub>-1"),
        ("ROUGE-1", "rouge1"),
        ("R-1", "Rouge-1 / Rouge-L"),
        ("BLEU-4", "BLEU@4"),
        ("LoRAs", "LoRA"),
        ("DoVERT-110M", "[DoVERT](https://arxiv.org/abs/2109.03564)-110M"),
        ("QuickTuning-ERNA1.0-110M", "[QuickTuning](https://x.example/a.pdf)-ERNA1.0-110M"),
        ("VERTs", "VERT"),
        ("Z100s", "Z100"),
        ("Kestrel-7Bs", "kestrel-7b"),
        ("VERT-style", "vert_base"),
        ("BibTeX", "@misc{gado,"),
    ],
)
def test_spellings_of_one_name_are_known(said, source):
    assert names(said, source).passed


@pytest.mark.parametrize(
    "said", ["kHz", "MHz", "dB", "GHz", "fps", "FPS", "GiB", "kWh", "mAh", "TFLOPS", "GFLOPs", "GB/s", "Mbps", "kJ"]
)
def test_units_are_no_names(said):
    assert names(f"16 {said}", "16 of them").passed


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("Kestrel-40B", "gado/kestrel-7b-instruct"),
        ("Kestrel-7", "gado/kestrel-7b-instruct"),
        ("Kestrel-7B-chat-2", "gado/kestrel-7b-instruct"),
        ("Nyx-3-maxi-8k", "gado/nyx-3-mini-4k-instruct"),
        ("Murmur-large-v2", "gado/murmur-large-v3-turbo"),
        ("Plan-N6", "gado/plan-n5-base"),
        ("Orvan-3", "Meta-Orvan-3.1-8B-Instruct"),
        ("Orvan-7B", "gado/CodeOrvan-7B"),
        ("FlareAttention", "flare. Attention"),
        ("FlareAttention", "flare, attention"),
        ("FlareAttention-3", 'attn="flare_attention_2"'),
        ("NilO-2", "nilo stage 3"),
        ("Wave2Vec3", "wave2vec 2.0"),
        ("Wave2Vec2", "wave2vec 20"),
        ("ROUGE-2", "ROUGE<sub>RAW</sub>-1"),
        ("R-3", "Rouge-1 / Rouge-L"),
        ("QuietNet5x15", "@misc{gado2022quietnet15x15-small,"),
        ("VFO3", "from it import VFO2HeadModel"),
        ("KiHz", "16 of them"),
    ],
)
def test_another_size_or_name_stays_unknown(said, source):
    assert not names(said, source).passed


@pytest.mark.parametrize(
    ("said", "source", "passed"),
    [
        ("Mistle-7B v0.2", "Mistle-7B v0.3", False),
        ("Mistle-7B v0.2", "Mistle-7B-v0.3 and 0.2 of it", False),
        ("Mistle-7B v0.3", "Mistle-7B-v0.3", True),
        ("Mistle-7B v0.3", "gado/mistle-7b-v0.3", True),
        ("Mistle-7B v0.2", "Mistle-7B-v0.3, better than Mistle-7B v0.2", True),
        ("Mistle v0.2", "Mistle-7B-v0.3", False),
        ("Mistle v0.3", "Mistle-7B-v0.3", True),
        ("Steady Diffusion v1.5", "steady-diffusion-v1-4", False),
        ("Steady Diffusion v1.4", "steady-diffusion-v1-4", True),
        ("Steady Diffusion v1", "steady-diffusion-v1-4", True),
        ("YOLA v5", "YOLAv8 in 5 sizes", False),
        ("YOLA v8", "YOLAv8", True),
        ("Murmur large v2", "murmur-large-v3, 2 of them", False),
        ("Common Speech v8", "common_speech_v11_0 in 8 parts", False),
        ("Common Speech v11", "common_speech_11_0", True),
        ("Orvan v2", "Orvan version 2", True),
        ("Orvan v2.0", "Orvan 2", True),
        ("Orvan v2", "Orvan, release 2.0", True),
        ("Orvan (v0.2)", "Orvan (v0.3)", False),
        ("Orvan (v0.2)", "Orvan (version 0.2)", True),
        ("Orvan v1", "Orvan (v1) and Orvan v2", True),
        ("Orvan v2", "Orvan (v1/v2)", True),
        ("Orvan v0.2", "Orvan v0.3 (formerly v0.2)", True),
        ("v0.1 and v0.2", "v0.2 and v0.3, after v0.1", True),
        ("the v2 of it", "the second version", True),
        ("top-5 accuracy", "top-1 accuracy of 5 runs", False),
        ("top-5 accuracy", "top 1 accuracy of 5 runs", False),
        ("Top5 accuracy", "Top-1 accuracy of 5 runs", False),
        ("top-1/top-5 accuracy", "top-1 accuracy", False),
        ("top-1/top-5 accuracy", "top-1 and 5 accuracy", True),
        ("top-5 accuracy", "top-1/5 accuracy", True),
        ("top-5 accuracy", "top1_acc, top5_acc", True),
        ("top-5 accuracy", "top-1 and Acc@5", True),
        ("top-5 accuracy", "top-five accuracy", True),
        ("top-50 sampling", "top_k=50, top_p=0.9", True),
        ("top-10 sampling", "top_k=50, top_p=0.9", False),
        ("top-5 accuracy", "five best answers", True),
    ],
)  # fmt: skip
def test_another_version_or_rank_is_wrong(said, source, passed):
    assert names(said, source).passed is passed


def test_the_mark_covers_name_and_version():
    found = names("Mistle-7B v0.2", "Mistle-7B v0.3")
    assert [span.label for span in found.spans] == ["name not in the sources: Mistle-7B v0.2"]
    assert (found.spans[0].start, found.spans[0].end) == (8, 22)


@pytest.mark.parametrize(
    "text", ["a" * 20_000, "a1" * 9_000, "A-" * 9_000, "1a" * 9_000, "v1 " * 6_000, "top-1 " * 3_000, "aB" * 9_000]
)
def test_hostile_text_takes_no_long_time(text):
    for source in (text, "a" * 40_000, "a1" * 20_000, "v1 top-" * 6_000):
        assert names(text, source) is not None
