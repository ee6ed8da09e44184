"""Grounded decoding: each rule with what it must stop and what it must let stay, then the processor with real tokens."""

import itertools

import pytest
import torch
from commands import BASE
from scripted_model import ScriptedModel
from transformers import AutoTokenizer

from data_prep.checks import SourceIndex, check_summary, passed_all
from data_prep.checks.document import read
from data_prep.checks.links import check_links
from data_prep.core.records import Note
from data_prep.prompts.student import render, source_text
from data_prep.synthetic.world import raw_cards
from eval.decoding import length_rule
from eval.decoding.grounded import FRESH_STARTS, KINDS, Row, describe_interventions, interventions_of
from eval.decoding.grounds import Grounds
from eval.decoding.left_out_lines import left_out_lines
from eval.decoding.link_rule import LinkRule, open_address
from eval.decoding.number_rule import NumberRule
from eval.decoding.pieces import Pieces
from eval.decoding.repeat_rule import PATIENCE
from eval.decoding.sampling import GREEDY, Decoding, Draws
from eval.decoding.thoughts import Budget, Tally
from eval.generation import transformers_backend
from eval.generation.held import DecodingControl
from eval.generation.local_model import open_model
from eval.generation.requests import Batch, GenerationRequest, PromptPrefix

CARD = """# Model Card for Lumen 3B

Lumen-3B-Instruct has 3.08B parameters, was trained on 11.2T tokens from 2 March 2024 and scores 71.25% on MMLU (5-shot).
It needs 24 GB, answers in 480 ms and reads 65,536 tokens. Loss fell by -3.4. The learning rate was 3e-4. It builds on Qwen2.5-7B.
See the [paper](https://arxiv.org/abs/2401.01234) and http://lumen.example/a_(b)/Page. License: apache-2.0.
"""
SOURCE = source_text("acme/Lumen-3B-Instruct", CARD, [Note("https://github.com/acme/lumen", "- 40 layers and 12'000 images.")])
TITLE = "# Lumen-3B-Instruct\n\n"
NO_LINKS = "# A\n\nIt has 7 layers."  # nor a line that names a model


@pytest.fixture(autouse=True)
def short_pages(monkeypatch):
    """The texts here are a line or two; those on length bring their own page."""
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 0)


@pytest.fixture(scope="module")
def pieces():
    return Pieces(AutoTokenizer.from_pretrained(BASE))


def refusals(text, pieces, source=SOURCE, end=4):
    """(rule, what stood in the line, what it refused) of a text said token by token, each said all the same."""
    row, found = Row(source, "" if text.startswith(("#", "<think>")) else TITLE, pieces, (end,)), []
    for token in [*pieces.tokens(text), end]:
        if kind := row.refused(token):
            found.append((kind, row.line, "" if token == end else pieces.text(token)))
            row.excuse()
        row.follow(token)
    return found


def kinds(text, pieces, source=SOURCE):
    return [kind for kind, _, _ in refusals(text, pieces, source)]


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "See [it](https://arxiv.org/abs/2401.01234).",
        "See **[it](https://github.com/acme/lumen)**, or (https://github.com/acme/lumen).",
        "[page](https://huggingface.co/acme/Lumen-3B-Instruct) and <https://arxiv.org/abs/2401.01234>",
        "[b](http://lumen.example/a_(b)/Page)",
        "[b](https://lumen.example/a_(b)/Page) with the other scheme",
        "[code](https://github.com/acme/lumen/) and https://github.com/acme/lumen#usage, the same page",
        "At https://github.com/acme/lumen. Then more.",
        "It speaks http and https, over an HTTP API.",
        "`x = list[0](1)` and `open('https://no.example')`",
        "```python\nmodel[0](https://no.example) 1234\n```\n",
    ],
)
def test_addresses_of_the_source_may_stand(text, pieces):
    assert refusals(text, pieces) == []


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("See [it](https://arxiv.org/abs/2401.99999).", "[it](https://arxiv.org/abs/2401."),
        ("See [it](https://openai.com).", "[it](https://"),
        ("See [it](#usage) below", "[it]("),
        ("[it](https://github.com/acme/lumen 'title')", "[it](https://github.com/acme/lumen"),
        ("[it](https://github.com/acme", "[it](https://github.com/acme"),  # and no more
        ("At https://github.com/acme. Then more.", "https://github.com/acme"),
        ("At http://no.example today", "At http://"),
    ],
)
def test_other_addresses_are_refused_where_they_part(text, before, pieces):
    kind, line, _ = refusals(text, pieces)[0]
    assert kind == "link"
    assert line.endswith(before) or before.startswith(line[line.find("[") :]) or line in before


def test_without_addresses_no_link_begins(pieces):
    assert kinds("See [it](x) there", pieces, NO_LINKS) == ["link"]
    assert refusals("See [it] (x) there", pieces, NO_LINKS) == []


def test_an_open_address_is_known_and_its_rests_are_offered():
    rule = LinkRule(Grounds.of(SOURCE).addresses)
    assert open_address("a [b](https://x") == "https://x"
    assert open_address("a [b](https://x(y") == "https://x(y"
    assert [open_address(line) for line in ("a [b](https://x)", "a (https://x) b", "a")] == [None] * 3
    assert {"2401.01234", ")"} <= set(rule.ways_on("[b](https://arxiv.org/abs/"))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("[z](https://z.example/Zipf's_law)", "[z](https://z.example/Zipf%27s_law)"),
        ("[z](https://z.example/Hooray!)", "[z](https://z.example/Hooray!)"),
        ("[z](<https://z.example/my file>)", "[z](https://z.example/my%20file) or https://z.example/my%20file"),
        ("代码见https://z.example/orvan，欢迎", "[z](https://z.example/orvan)"),
        ("pip install git+https://z.example/a/kiln@v1", "[z](https://z.example/a/kiln)"),
        ("eprint = {cs/0112017}", "[z](https://arxiv.org/abs/cs/0112017)"),
        ("https://doi.org/10.1000/(X)1:8<693::A-X4>3.0.CO;2-O", "[z](https://doi.org/10.1000/(X)1:8%3C693::A-X4%3E3.0.CO;2-O)"),
    ],
)
def test_addresses_that_a_bare_word_cannot_hold_may_be_written(source, text, pieces):
    source = f"# Lumen\n\n{source}\n\nModel: acme/Lumen-3B"
    assert refusals(text, pieces, source) == []
    assert "link" in kinds(
        text.replace("z.example/", "z.example/x").replace("abs/", "abs/x").replace("693", "694"), pieces, source
    )
    rule = LinkRule(Grounds.of(source).addresses)
    for address in rule._addresses.spelled:
        for said in (f"[z]({address})", f"at {address} now"):
            assert not rule.refuses("", said, True, 0), said
            assert check_links(read(said), Grounds.of(source).addresses.known, True).passed, said


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "It has 3.08B parameters, about 3.1 billion, trained on 11.2T or 11.2 trillion tokens.",
        "It scores 71.25% on MMLU (5-shot), so 71.3 or 71 %, on 2 March 2024, in March 2024, 2024-03-02.",
        "- It needs 24 GB and 0.48 s for 64k or 65,536 or 65536 tokens; a loss of -3.4; 3e-4.",
        "Built on Qwen2.5-7B and Qwen2.5; Lumen-3B-Instruct, Lumen-3B, in bf16 and int8, F1 and GPUs.",
        "1. First\n2. Second\n77. Last [1] of Step 3, under Apache 2.0",
        "The 40-layer net saw 12'000 images, 12,000 in all.",
        "It says nothing about GPT-4, and does not mention MMLU-Pro2.",
        "Use `--size=99` or `x_77`; [it](https://github.com/acme/lumen) has twelve and three.",
        "| MMLU | 71.25 |\n| --- | --- |\n| a | 3.08B |",
        "Lumen 3B, that is Llama-free.",
    ],
)
def test_what_the_checks_accept_may_be_said(text, pieces):
    assert refusals(text, pieces) == []


@pytest.mark.parametrize(
    ("text", "said", "refused"),
    [
        ("It has 3.2B parameters.", "It has 3.", "2"),
        ("It has 9 layers.", "It has ", "9"),
        ("It has 3.08 parameters.", "It has 3.08", " parameters"),
        ("It has 3.08M parameters.", "It has 3.08", "M"),
        ("It needs 24 MB.", "It needs 24", " MB"),
        ("It scores 71.52 on MMLU.", "It scores 71.", "5"),
        ("It saw 11.2B tokens.", "It saw 11.2", "B"),
        ("Built on Qwen2.5-72B.", "Built on Qwen2.5-7", "2"),
        ("Built on Qwen3 here.", "Built on Qwen", "3"),
        ("Much like GPT-4 is.", "Much like GPT-", "4"),
        ("A gain of +3.4 points.", "A gain of +3.", "4"),
        ("Out on 2 April 2024.", "Out on 2 Apr", ""),
        ("- 7 of them.", "- 7", " of"),
        ("Use `999` now.", "Use `", "9"),
    ],
)
def test_what_the_checks_would_flag_is_refused_where_it_goes_wrong(text, said, refused, pieces):
    kind, line, token = refusals(text, pieces)[0]
    assert kind == "number"
    # A tokenizer may take a space or a letter more: the place is the same.
    assert (line + token).startswith(said)
    assert refused.strip()[-1:] in token or line == said


def test_decoding_allows_what_the_check_accepts_and_nothing_else(pieces):
    """Every number of a small grid, at the end of a sentence: the rule says what the check says."""
    rule = NumberRule(SourceIndex.from_source(SOURCE), Grounds.of(SOURCE).spellings, ())
    forms = [f"{number}{unit}" for number, unit in itertools.product(
        ("3.08", "3.1", "3", "11.2", "71.25", "71.3", "71", "72", "24", "65,536", "64", "64,000", "480", "0.48", "40", "12,000", "2024"),
        ("", "B", " billion", "T", "%", " GB", " MB", " ms", " s", "k", "K", " layers", " tokens"),
    )]  # fmt: skip
    for form in forms:
        text = f"The model has {form}. "
        accepted = next(one for one in check_summary(text, SOURCE) if one.name == "numbers").passed
        assert rule.refuses(f"The model has {form[0]}", f"{form[1:]}. ", False, 0) != accepted, form


def test_no_beginning_that_is_let_through_is_a_dead_end(pieces):
    """Digit by digit from each number's first: where a beginning may stand, some way on may stand too."""
    row = Row(SOURCE, "", pieces, (4,))
    for digits in map(
        "".join, itertools.chain(itertools.product("0123456789", repeat=1), itertools.product("0123456789.", repeat=2))
    ):
        line = "The model has "
        if not digits[0].isdigit() or row.numbers.refuses(line, digits, False, 0):
            continue
        ways = list(row.numbers.ways_on(line + digits))
        assert any(not row.numbers.refuses(line + digits, way, False, 0) for way in ways), digits


# --- title, repeats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "title", ["# Lumen-3B-Instruct", "## **Lumen 3B**: a summary", "# lumen 3b instruct", "A line.\n\n## Lumen 3B"]
)
def test_a_title_that_names_the_model_stays(title, pieces):
    assert refusals(title + "\n\nIt is.\n\n## Evaluation\n\n", pieces) == []


def test_a_title_that_does_not_is_refused_at_its_end(pieces):
    assert [(kind, line) for kind, line, _ in refusals("# Summary of the page\n\nIt is.", pieces)] == [
        ("heading", "# Summary of the page")
    ]
    row = Row(SOURCE, "", pieces, (4,))
    assert [row.heading.rest(line) for line in ("# Summary", "#", "# ")] == [
        ": Lumen-3B-Instruct", " Lumen-3B-Instruct", "Lumen-3B-Instruct",
    ]  # fmt: skip
    assert kinds("# A page\n", pieces, NO_LINKS) == []


SAID = "- The model was trained on web text.\n"


@pytest.mark.parametrize(
    "text",
    [
        SAID + "- It was trained on the web, and the model was trained with code.\n",
        "It was fast, and so it was. It was fast, and no more.",
        "## Lumen 3B\n\n## Training data\n\n" + SAID + "### Data\n",
        "- [paper](https://arxiv.org/abs/2401.01234)\n" * 3,
        "| yes | no | yes | no | yes |\n" * 5,
        "Lumen-3B-Instruct is one, Lumen-3B-Instruct is two, Lumen-3B-Instruct is three, and Lumen-3B-Instruct four.",
        "<think>\n" + SAID * 2 + "</think>\n" + SAID,
        "```\n" + SAID * 2 + "```\n",
        "<think>\nIt has 9999 layers, says https://no.example.\n</think>\n" + SAID,
        "".join(
            f"- {one}: [page](https://huggingface.co/acme/Lumen-3B-Instruct), and [code](https://github.com/acme/lumen)\n"
            for one in "abcd"
        ),
    ],
)
def test_what_is_said_once_or_rightly_twice_stays(text, pieces):
    assert refusals(text, pieces) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SAID * 2, "- The model was trained"),
        (SAID + "* the model was trained on web text!\n", "* the model was trained"),
        (SAID + "1. But the [model](https://arxiv.org/abs/2401.01234) was trained on code\n", "was trained"),
        ("It is good and it is fast. Also so, it is good and it is slow.", "Also so, it is good and"),
        ("It was a model. A word. It was a model.", "A word. It was a"),
        ("- It was a model.\n- It was a model.", "- It was a"),
        ("It is so.\n\n## Data\n\nIt is small.\n\n### Data\n", "### Data"),
    ],
)
def test_a_second_copy_is_refused_where_its_last_word_begins(text, line, pieces):
    kind, stood, _ = refusals(text, pieces)[0]
    assert kind == "repeat"
    assert stood.rstrip(" ").endswith(line)


def test_the_dots_of_an_address_end_no_sentence(pieces):
    text = "- It was made [here](https://huggingface.co/acme/Lumen-3B-Instruct).\n- It was made [here](https://arxiv.org/abs/2401.01234)"
    assert [kind for kind, line, _ in refusals(text + " too.\n", pieces) if "https" in line] == []


def test_a_page_that_has_to_end_within_a_line_leaves_no_half_of_it(pieces):
    row = Row(SOURCE, TITLE + "- It was made by people at acme.\n\n- It was not [made](https://arxiv", pieces, (4,))
    row.repeats.gave_up = True
    assert row.kept(row.text) == TITLE + "- It was made by people at acme."


def test_a_sentence_whose_words_come_in_pieces_is_refused_at_its_end(pieces):
    kind, stood, _ = refusals("- The licence is open.\n- The licence is open.\n", pieces)[0]
    assert (kind, stood) == ("repeat", "- The licence is open")


def test_a_model_that_says_nothing_new_is_stuck_and_its_text_kept_up_to_there(pieces):
    row = Row(SOURCE, "", pieces, (4,))
    fresh = "## Lumen 3B\n\n- It reads text and writes text too.\n"
    for token in pieces.tokens(fresh + SAID):
        row.follow(token)
    for tries in range(PATIENCE):
        assert not row.repeats.is_stuck
        row.repeats.was_refused()
        letter = chr(97 + tries)
        for token in pieces.tokens(f"- The model was {letter * 3} and {letter * 4} and {letter * 5} too.\n"):
            row.follow(token)
    assert row.repeats.is_stuck
    assert row.kept(fresh + SAID + "- The model was trained on web text, too.\n" * 2) == (fresh + SAID).strip()
    counting = Row(SOURCE, "", pieces, (4,))
    for token in pieces.tokens("".join(f"{number}.\n" for number in range(1, 9))):
        counting.follow(token)
    assert counting.repeats.is_stuck


ROUND = "- The model was trained on text that was read from the web, as its card says.\n"


@pytest.mark.parametrize(
    "text",
    [
        "- Its card has all the text that was read from the web.\n- The model was trained on text of the web, as its card says.\n",
        "- The model was trained on text of the web.\n\n## Data\n\n- Text of the web was what the model was trained on.\n",
        "| Epoch | Loss |\n|---|---|\n| 1 | 0.5 |\n| 2 | 0.25 |\n\n## Loss\n\n| Epoch | Loss |\n|---|---|\n| 1 | 0.5 |\n| 2 | 0.25 |\n",
        "- It has no score for the model, nor a score for the other model, nor a score of the other models, nor any score for others, and no more\n",
    ],
)
def test_what_is_said_again_in_other_words_is_a_loop(text, pieces):
    row = Row(SOURCE, "", pieces, (4,))
    for token in pieces.tokens(TITLE + ROUND + text):
        row.follow(token)
    assert row.repeats.is_stuck
    assert row.kept(row.text) == (TITLE + ROUND).strip()


@pytest.mark.parametrize(
    "text",
    [
        ROUND
        + "- The model was trained on text of the web.\n- It has 40 layers.\n- The model was trained on the text of its card.\n",
        "".join(
            f"- **{name}**: a score of {score} according to the card.\n"
            for name, score in [("MMLU", 71.25), ("ARC", 3.08), ("GPQA", 480)]
        ),
        "| the model of 3B, with text | 1 | the model of 4B, with text | the model of 5B, with text | the model of 6B, with text |\n"
        * 2,
        "```\nload(the model of text, with words, the model of text and words, the model of text, with a word, the words, and so on)\n```\n",
        "- yes\n- no\n- yes\n- no\n",
        "".join(f"- The {name} part of the text comes from the web, too.\n" for name in ("Lumen", "MMLU", "Loss")),
        "".join(f"- It is not made to be trained for {name} by anyone.\n" for name in ("images", "answers", "parameters")),
        "```\n#\n# a\n#\n# a\n```\n",
    ],
)
def test_lines_that_are_alike_in_form_are_no_loop(text, pieces):
    row = Row(SOURCE, "", pieces, (4,))
    for token in pieces.tokens(TITLE + text):
        row.follow(token)
    assert not row.repeats.is_stuck


# --- with a model -----------------------------------------------------------------------------------------------------


def written(folder, monkeypatch, texts, sources, decoding=GREEDY, second=None, grounded=True, new=150, opens=""):
    model = open_model(str(folder), None)
    monkeypatch.setattr(transformers_backend, "load_weights", lambda *_: ScriptedModel(folder, model.tokenizer, texts, second))
    messages = [{"role": "user", "content": "hello"}]
    prompt = render(messages, model.tokenizer) + opens
    asks = [
        GenerationRequest(
            PromptPrefix(f"card{at}", messages, prompt, source=source if grounded else ""), decoding, f"{at}" * 64
        )
        for at, source in enumerate(sources)
    ]
    [rows] = transformers_backend.summaries(model, [Batch(asks)], "x", new, "float32", "cpu")
    return rows


NOTHING = dict.fromkeys(KINDS, 0)
ASKED = (
    "- The weather of a town.\n", "- Names that birds have.\n", "- Lists without gaps.\n", "- Old songs.\n", "- What bakers know.\n",
    "- Roads over hills.\n", "- Tools made out of wood.\n", "- How the sea came here.\n",
)  # fmt: skip


@pytest.mark.parametrize("decoding", [GREEDY, Decoding("sampled", 0, 0.8, 0.95)])
def test_references_come_out_as_they_are_with_no_intervention(tiny_model, monkeypatch, decoding):
    """A model that is right is not changed: every reference that passes the checks, in a batch, each with its own source."""
    raws = [raw for raw in raw_cards(3, 6) if isinstance(raw.content, str)]
    pairs = [(raw.summaries[0].strip(), source_text(raw.model_id, raw.content, raw.notes)) for raw in raws]
    pairs = [(text, source) for text, source in pairs if passed_all(check_summary(text, source))]
    assert len(pairs) >= 4
    end = AutoTokenizer.from_pretrained(BASE).eos_token
    rows = written(
        tiny_model, monkeypatch, [text + end for text, _ in pairs], [source for _, source in pairs], decoding, new=900
    )
    assert [(row.text, row.finish_reason, row.interventions) for row in rows] == [(text, "stop", NOTHING) for text, _ in pairs]


def test_what_a_page_gives_up_does_not_cut_it(tiny_model, monkeypatch):
    """A page with lines that go round is as long as the one beside it without them, and both end at the limit."""
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 300)
    good, more = TITLE + "- It reads long text and it writes short text for people.\n", "".join(ASKED)
    round_and_round = "- It writes short text and it reads long text for people.\n- For people it writes short text, it reads long text too.\n"
    stuck, plain = written(tiny_model, monkeypatch, [good + round_and_round + "  " + more, good + more], [SOURCE] * 2, new=100)
    assert (stuck.finish_reason, plain.finish_reason) == ("length", "length")
    assert (plain.completion_tokens, stuck.completion_tokens) == (100, 143)
    ends = "- Roads over hills."
    assert plain.text.endswith(ends)
    assert stuck.text.endswith(ends)
    assert "- For people" not in stuck.text


def test_references_of_many_cards_are_never_refused(pieces):
    count = 0
    for seed in (1, 2):
        for raw in raw_cards(seed, 10):
            source = source_text(raw.model_id, raw.content, raw.notes) if isinstance(raw.content, str) else ""
            for text in raw.summaries if source else ():
                if passed_all(check_summary(text, source)):
                    count += 1
                    assert refusals(text, pieces, source) == [], raw.model_id
    assert count > 20


def test_thoughts_that_the_prompt_opens_are_free_and_no_summary(tiny_model, monkeypatch):
    """Templates of reasoning models end a prompt in `<think>`: what comes first is thought, also where the token limit cuts it."""
    thought, end = "It has 9999 layers, says https://no.example.\n", AutoTokenizer.from_pretrained(BASE).eos_token
    said = TITLE + "It has 40 layers."
    whole, cut = (
        written(tiny_model, monkeypatch, [text], [SOURCE], new=new, opens="<think>\n")[0]
        for text, new in ((f"{thought}</think>\n{said}{end}", 150), (thought * 20, 40))
    )
    assert (whole.text, whole.thinking, whole.interventions) == (said, thought.strip(), NOTHING)
    assert (cut.text, cut.finish_reason, cut.interventions) == ("", "length", NOTHING)
    assert cut.thinking.startswith(thought.strip())


def test_a_thought_that_goes_round_in_circles_is_not_gone_on_with_as_a_page(pieces):
    thinking, writing = Row(SOURCE, "<think>\n", pieces, (4,)), Row(SOURCE, "", pieces, (4,))
    for token in pieces.tokens("and so on " * 60):
        thinking.follow(token)
        writing.follow(token)
    assert (thinking.repeats.is_stuck, writing.repeats.is_stuck) == (False, True)


def test_tags_of_thoughts_count_wherever_they_stand_in_a_token(pieces, monkeypatch):
    text_of, wrong = pieces.text, pieces.tokens("It has 9999 layers.")
    monkeypatch.setattr(pieces, "text", lambda token: {1: "<think>\n", 2: "</think>\n\n"}.get(token) or text_of(token))
    row = Row(SOURCE, "", pieces, (4,))
    row.follow(1)
    for token in wrong:
        assert not row.refused(token)
        row.follow(token)
    for token in (2, *pieces.tokens(TITLE)):
        row.follow(token)
    assert any(row.refused(token) == "number" or row.follow(token) for token in wrong)


def test_what_goes_wrong_is_mended_row_by_row_and_counted(tiny_model, monkeypatch):
    end = AutoTokenizer.from_pretrained(BASE).eos_token
    other = source_text("b/Foo-9", "# Foo-9\n\nIt has 9 layers. See https://foo.example/x.", [])
    texts = [f"# Foo-9\n\nIt has 9 layers, [here](https://foo.example/x).{end}"] * 2
    wrong, right = written(tiny_model, monkeypatch, texts, [SOURCE, other])
    assert (right.text, right.interventions) == (texts[1].removesuffix(end), NOTHING)
    assert wrong.interventions["number"] > 0
    results = {one.name: one for one in check_summary(wrong.text, SOURCE)}
    assert not results["links"].spans + results["numbers"].spans
    assert "9 layers" not in wrong.text
    assert interventions_of([wrong, right]) == wrong.interventions


def test_a_title_is_given_the_models_name(tiny_model, monkeypatch):
    [row] = written(tiny_model, monkeypatch, ["# Summary\n\n"], [SOURCE], new=14)
    assert row.text.startswith("# Summary: Lumen-3B-Instruct")
    assert row.interventions["heading"] == 1


def test_a_loop_ends_and_leaves_no_copy(tiny_model, monkeypatch):
    fresh = "## Lumen 3B\n\n- It reads text and writes text too.\n"
    [row] = written(tiny_model, monkeypatch, [fresh + SAID * 40], [SOURCE], new=500)
    assert row.finish_reason == "stop"
    assert row.text.count("trained on web text.") == 1
    assert row.interventions["repeat"] > 0
    [free] = written(tiny_model, monkeypatch, [fresh + SAID * 40], [SOURCE], new=500, grounded=False)
    assert (free.finish_reason, free.interventions) == ("loop", {})


def test_a_drawn_token_is_the_one_that_generate_draws(tiny_model):
    """The real random model at temperature 1: where no rule speaks, grounded and free samples are the same text."""
    from transformers import AutoModelForCausalLM

    model = open_model(str(tiny_model), None)
    weights = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    decoding, pieces = Decoding("sampled", 0, 1.3, 0.9), Pieces(model.tokenizer)
    inputs, said = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3)}, []
    for source in ("", SOURCE):
        held = DecodingControl(model, decoding, [PromptPrefix("a", [], "", source=source)], [5], 3, pieces, Budget(40))
        if held.rows[0]:
            held.rows[0].refused = lambda token: ""
        [row] = held.new_tokens(weights.generate(**inputs, pad_token_id=4, eos_token_id=4, **held.options))
        said.append(row)
    free, grounded = said
    assert len(free) == 40
    assert grounded == [*free, model.end_ids[0]]  # which it is given behind its last token
    assert held.rows[0].was_cut


def test_what_a_grounded_row_gave_up_is_not_cut_from_its_tokens(tiny_model):
    """It counted them itself; of a free row what is beyond its page goes."""
    model, tokens = open_model(str(tiny_model), None), [[5, 6, 7, *range(20, 40)]]
    for source, kept in ((SOURCE, 20), ("", 4)):
        opening = PromptPrefix("a", [], "", source=source)
        held = DecodingControl(model, GREEDY, [opening], [5], 3, Pieces(model.tokenizer), Budget(4, 4))
        [row] = held.new_tokens(torch.tensor(tokens))
        assert row == tokens[0][3 : 3 + kept]


def test_a_refused_draw_is_drawn_again_from_the_rest(pieces):
    """Of two tokens of which the likelier is refused, the other one is taken, and the row beside it is as it was."""
    from eval.decoding.grounded import Grounded

    [nine, three] = [pieces.tokens(digit)[0] for digit in "93"]
    scores = torch.full((2, len(AutoTokenizer.from_pretrained(BASE))), -20.0)
    scores[:, nine], scores[:, three] = 15.0, 3.0
    other = source_text("b/Foo-9", "# Foo-9\n\nIt has 9 layers.", [])
    for decoding in (GREEDY, Decoding("sampled", 0, 1.0, 1.0)):
        held = Grounded((4,), decoding, [SOURCE, other], ["It has ", "It has "], [1, 2], pieces, Budget(40))
        chosen = held(torch.tensor([[1], [1]]), scores.clone())
        assert (chosen[0].argmax().item(), chosen[1].argmax().item()) == (three, nine)
        assert [row.counts["number"] for row in held.rows] == [1, 0]


def test_what_is_drawn_next_is_drawn_with_the_same_noise():
    from eval.decoding.grounded import _Draw

    for seed in range(5):
        draw = _Draw(Draws([seed, seed + 1, seed + 2]).ranked(torch.randn(3, 50)))
        assert [draw.next_best(row)[0] for row in range(3)] == draw.chosen


def test_pieces_are_what_tokens_add(pieces):
    text = "- **MMLU (5-shot)**: 71.25% – naïve 中文.\n"
    assert "".join(map(pieces.text, pieces.tokens(text))).replace("\ufffd", "") == "".join(
        letter for letter in text if letter.isascii() or letter in "".join(map(pieces.text, pieces.tokens(text)))
    )
    assert pieces.is_plain(pieces.tokens("tokens")[0])
    assert not pieces.is_plain(pieces.tokens("7")[0])


def test_interventions_are_told_in_words():
    assert describe_interventions({"link": 2, "number": 1, "heading": 0, "repeat": 0}) == "3 tokens (2 link, 1 number)"
    assert describe_interventions(NOTHING) == "0 tokens"


# --- form ---------------------------------------------------------------------------------------------------------------


def test_a_page_with_one_title_and_any_markup_of_its_own_stays(pieces):
    text = "# Lumen-3B-Instruct\n\nIt is small.\n\n## Use\n\n```python\n# a comment\n```\n\n- a < b and `<tag>`\n\n### More\n"
    assert "form" not in kinds(text, pieces)


def test_a_second_title_and_the_prompts_frame_are_refused_where_they_begin(pieces):
    assert "form" in kinds("# Lumen-3B-Instruct\n\nIt is small.\n\n# Lumen-3B-Instruct again\n", pieces)
    for mark in ("</model_card>", "<research>", '<source url="'):
        found = refusals(f"# Lumen-3B-Instruct\n\nSmall.\n\n{mark}\n", pieces)
        line = next(line for kind, line, _ in found if kind == "form")
        assert mark.startswith(line)


def test_a_page_begins_with_a_heading_that_markdown_reads(pieces):
    for text, before in (("Lumen-3B is small.", ""), ("#Lumen-3B-Instruct", "#")):
        row = Row(SOURCE, before, pieces, (4,))
        assert row.refused(pieces.tokens(text.removeprefix(before))[0]) == "form"
    assert "form" not in kinds("# Lumen-3B-Instruct\n\n#### Of level four\n", pieces)


@pytest.mark.parametrize(
    ("heading", "passes"), [("71.25", False), ("**40 layers**", False), ("Its 40 layers", True), ("(a) Use", True)]
)
def test_no_section_is_named_by_a_number(heading, passes, pieces):
    for level in ("##", "###"):
        found = kinds(f"# Lumen-3B-Instruct\n\nIt is small.\n\n{level} {heading}\n", pieces)
        assert ("form" not in found) is passes
    assert "form" not in kinds("# 3B of Lumen-3B-Instruct\n\nIt has 40 layers.\n\n40 heads.\n", pieces)


def owing(text, pieces):
    """The lines at whose end the marks of an emphasis are owed."""
    row, found = Row(SOURCE, "", pieces, (4,)), []
    for token in [*pieces.tokens(text), 4]:
        if row.owes_marks(token):
            found.append(row.line)
        row.follow(token)
    return found


def test_an_emphasis_is_closed_before_its_line_ends(tiny_model, monkeypatch, pieces):
    fine = "# Lumen-3B-Instruct\n\n- **Small and `a**b`** fine.\n- **Good:** so it is.\n\n```\na **b\n```\n\n- **Last**"
    assert owing(fine, pieces) == []
    assert [line.rstrip(".") for line in owing(fine.replace("`**", "`").replace("Last**", "Last"), pieces)] == [
        "- **Small and `a**b` fine", "- **Last"
    ]  # fmt: skip
    end, said = AutoTokenizer.from_pretrained(BASE).eos_token, TITLE + "- **Last"
    [row] = written(tiny_model, monkeypatch, [said + end], [SOURCE], new=len(pieces.tokens(said)) + len(pieces.tokens("**")))
    assert row.text == said + "**"
    assert row.interventions["form"] == 1


# --- length -------------------------------------------------------------------------------------------------------------


def page(words):
    """A page of so many words with the title, ten a line."""
    numbered = [f"word{letter}{other}" for letter in "abcdefghijklmnopqrstuvwxyz" for other in "abcdefghijklmnopqrstuvwxyz"]
    lines = [" ".join(numbered[at : at + 10]) for at in range(0, words - 1, 10)]
    return "# Lumen-3B-Instruct\n\n" + "\n".join(f"- {line}" for line in lines)


def test_no_page_ends_before_its_least_words(pieces, monkeypatch):
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 300)
    assert kinds(page(291), pieces) == ["length"]
    assert kinds(page(301), pieces) == []
    assert kinds("<think>" + page(301) + "</think>" + page(31), pieces) == ["length"]


def test_what_the_model_would_say_next_is_said_where_an_end_is_refused(tiny_model, monkeypatch):
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 8)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    [more] = tokenizer.encode(" more", add_special_tokens=False)[-1:]
    [row] = written(
        tiny_model, monkeypatch, ["# Lumen-3B-Instruct\n\nSmall" + tokenizer.eos_token], [SOURCE], second=more, new=40
    )
    assert row.text.startswith("# Lumen-3B-Instruct\n\nSmall" + tokenizer.decode([more]))
    assert row.interventions["length"] >= 1


@pytest.mark.parametrize(
    "half", ["- See the [paper](https://arxiv.org/abs/24", "- **Small and", "- It reads", "\n## Limits\n\n- It"]
)
def test_where_the_token_limit_cuts_a_page_the_half_line_goes(half, pieces):
    whole = TITLE + "- It is small.\n"
    row = Row(SOURCE, "", pieces, (4,))
    for token in pieces.tokens(whole + half):
        row.follow(token)
    assert row.kept(row.text, cut=True) == whole.rstrip()
    for last in ("- It reads", "- The paper is https://arxiv.org/abs/2401.01234"):
        assert Row(SOURCE, whole + last, pieces, (4,)).kept(whole + last) == whole + last  # ended by itself
    assert Row(SOURCE, whole + "- It is fast.", pieces, (4,)).kept(whole + "- It is fast.", cut=True) == whole + "- It is fast."
    for end in ("It is so (small)!*", "小さい。"):
        assert Row(SOURCE, whole + end, pieces, (4,)).kept(whole + end, cut=True) == whole + end
    assert Row(SOURCE, whole, pieces, (4,)).kept(whole + "It is so. And it", cut=True) == whole + "It is so."
    assert Row(SOURCE, TITLE + "It is", pieces, (4,)).kept(TITLE + "It is", cut=True) == TITLE + "It is"  # nothing else


def stuck(row, pieces, text):
    for token in pieces.tokens(text):
        row.follow(token)
    row.repeats.gave_up = True


def test_a_short_page_that_is_stuck_gives_its_lines_up_and_begins_a_section(pieces, monkeypatch):
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 30)
    row = Row(SOURCE, "", pieces, (4,))
    good = "# Lumen-3B-Instruct\n\n- It reads text and it writes text.\n"
    stuck(row, pieces, good + "\n## Data\n\n- The same, the same")
    assert row.starts_over()
    assert "".join(map(pieces.text, row.forced)) == "\n\n## "
    assert not row.is_done
    for token in [*row.forced, *pieces.tokens("Use\n\n- A person may ask it what a page says of a model.\n")]:
        row.follow(token)
    assert row.page == good + "\n## Use\n\n- A person may ask it what a page says of a model.\n"
    assert row.kept(row.text) == row.page.rstrip()
    assert row.length.refuses_end(row.page)
    stuck(row, pieces, "- The same, the same")
    assert row.starts_over()
    assert row.kept(row.text) == row.page.rstrip()


def test_what_is_given_up_is_not_counted(pieces, monkeypatch):
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 30)
    kept = pieces.tokens("# Lumen-3B-Instruct\n\n- It reads text and it writes text.\n")
    lost = pieces.tokens("- The same, the same")
    limit = len(kept) + len(lost)
    row = Row(SOURCE, "", pieces, (4,), Tally(Budget(limit), ""))
    for token in [*kept, *lost]:
        assert not row.is_spent
        row.follow(token)
    assert row.is_spent
    row.repeats.gave_up = True
    assert row.starts_over()
    left = limit - len(kept)
    more = [*row.forced, *pieces.tokens("Use\n\n- A person may ask it what a page says of a model.\n")][:left]
    for token in more:
        assert not row.is_spent
        row.follow(token)
    assert row.is_spent


def test_a_line_that_goes_round_is_given_up_once_and_the_title_stays(pieces, monkeypatch):
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 100)
    row = Row(SOURCE, "", pieces, (4,))
    for token in pieces.tokens(
        "# Lumen-3B-Instruct\n\nIt has " + "no score for the model, no score for the other models, " * 2
    ):
        row.follow(token)
    row.repeats.looping = True
    assert row.starts_over()
    for token in [*row.forced, *pieces.tokens("Data\n\n- Text was what it was made to read.\n")]:
        row.follow(token)
    assert not row.repeats.is_stuck
    assert row.page.startswith("# Lumen-3B-Instruct\n")
    assert "score" not in row.page


def test_a_stuck_page_ends_where_it_is_long_enough_or_began_anew_often_enough(pieces, monkeypatch):
    row = Row(SOURCE, TITLE, pieces, (4,))
    stuck(row, pieces, "- It is small. So small, so small")
    assert not row.starts_over()  # LENGTH_MIN is 0
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 20)
    row = Row(SOURCE, TITLE + "```\n", pieces, (4,))
    stuck(row, pieces, "code")
    assert not row.starts_over()  # a heading would stand within the code
    row = Row(SOURCE, TITLE, pieces, (4,))
    for times in range(FRESH_STARTS):
        stuck(row, pieces, f"{'abc'[times]}\n")
        assert row.starts_over()
    stuck(row, pieces, "d\n")
    assert not row.starts_over()
    assert row.is_done


DECLARED = source_text(
    "acme/Lumen-3B-Instruct",
    "---\nlicense: apache-2.0\nlanguage: [en, de]\nbase_model: acme/Seed-3B\ndatasets: ['a\\n# b', acme/web]\n---\n" + CARD,
    [],
)


def test_a_page_that_goes_round_first_tells_what_it_left_out(pieces):
    good = "# Lumen-3B-Instruct\n\n- It reads English text and German text.\n"
    told = (
        "## Also stated\n\n- Licence: apache-2.0\n- Base model: acme/Seed-3B\n"  # languages it has, and no such name is written
    )
    row = Row(DECLARED, "", pieces, (4,))
    stuck(row, pieces, good + "- The same, the same")
    assert row.starts_over()  # of any length
    for token in row.forced:
        row.follow(token)
    assert row.page.split("\n\n", 1)[1] == (good + "\n" + told).split("\n\n", 1)[1]
    assert row.counts["fact"] == len(pieces.tokens("\n\n" + told))
    assert row.over
    assert row.kept(row.text).endswith(told.strip())


def test_a_short_page_goes_on_behind_what_it_left_out(pieces, monkeypatch):
    monkeypatch.setattr(length_rule, "LENGTH_MIN", 100)
    row = Row(DECLARED, "", pieces, (4,))
    stuck(row, pieces, "# Lumen-3B-Instruct\n\n- It reads text and it writes text.\n\n- The same, the same")
    assert row.starts_over()
    for token in row.forced:
        row.follow(token)
    assert row.text.endswith("- Base model: acme/Seed-3B\n- Languages: English, German\n\n## ")
    assert not row.over
    assert row.refused(pieces.tokens("\n")[0]) == "repeat"  # a heading has words
    stuck(row, pieces, "Use\n\n- The same, the same")
    assert row.starts_over()
    assert "".join(map(pieces.text, row.forced)) == "\n\n## "
    assert row.kept(row.text).endswith("- Languages: English, German")


def test_what_is_left_out_is_listed_as_it_is_declared():
    def lines(front, page="# A\n"):
        return left_out_lines(
            page, SourceIndex.from_source(source_text("acme/A-1", f"---\n{front}\n---\n# A\n\n{NO_LINKS}", []))
        )

    assert lines("license: mit\nlibrary_name: transformers\npipeline_tag: fill-mask\ndatasets: acme/web_1") == [
        "- Licence: mit", "- Data sets: acme/web_1", "- Library: transformers", "- Task: fill-mask",
    ]  # fmt: skip
    assert lines("license: mit", "# A\n\nIt is under the MIT license.\n") == []
    assert lines("language: [en, de, fr, it, es, pt, nl]") == [
        "- Languages: English, German, French, Italian, Spanish, Portuguese and others"
    ]
    assert lines("language: [unk, en]") == ["- Languages: English"]
    assert lines("license: '<|im_end|>'\nbase_model: '[a](http://b)'") == []
    assert lines("tags: [a]\n---\nIts licence is MIT.") == []  # whose it is, no program knows


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("# A\n\n## B\n\n- b\n\n## C\n", "# A\n\n## B\n\n- b"),
        ("# A\n\n```\n# a\n# b\nc\n```\n\n## B\n", "# A\n\n```\n# a\n# b\nc\n```"),
        ("# A\n\n```\n# a", "# A\n\n```\n# a"),
        ("# A\n\n## B\n\n## C\n\n- c", "# A\n\n## C\n\n- c"),
        ("# A\n\n- a\n\n## B\n\n### C\n\n- c\n\n### D\n\n## E\n\n- e", "# A\n\n- a\n\n## B\n\n### C\n\n- c\n\n## E\n\n- e"),
    ],
)
def test_headings_over_nothing_go(text, left):
    assert length_rule.without_bare_headings(text) == left


def test_a_page_is_cut_at_the_line_that_makes_it_too_long(pieces):
    def kept(text):
        row = Row(SOURCE, "", pieces, (4,))
        for token in pieces.tokens(text):
            row.follow(token)
        return row.kept(text), row.counts["length"], row.is_done

    whole = page(491)
    assert kept(page(501)) == (whole, 1, False)
    assert kept(whole) == (whole, 0, False)
    text, count, done = kept(whole + "\n\n## More\n\n- " + "and so it goes on " * 5 + "\n")
    assert (text, count, done) == (whole, 1, True)


def test_no_control_token_is_written(pieces):
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    other = tokenizer.convert_tokens_to_ids("<|im_start|>")
    row = Row(SOURCE, "# Lumen-3B-Instruct\n\n", pieces, (tokenizer.eos_token_id,))
    assert row.refused(other) == "form"
    assert row.refused(tokenizer.eos_token_id) == ""
