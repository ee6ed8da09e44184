"""Decoding with proposals says what plain decoding says, in fewer passes; its processors see each token that is kept, once, in order."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicLayer

from eval.decoding.kv_cache import cpu_options
from eval.decoding.prompt_lookup import MOST_PROPOSED, Lookup, lookup_options

PROMPT, NEW = 300, 60


class Copying:
    """A logits processor that makes the model say its prompt again, but for three tokens of eleven, which are the model's own. It has
    a memory, as rules of decoding have: it must be asked about each token that is kept, once, in order."""

    def __init__(self):
        self.asked_at = []

    def __call__(self, input_ids, scores):
        self.asked_at.append(input_ids.shape[1])
        if len(self.asked_at) % 11 < 3:
            return scores
        copied = input_ids[0, input_ids.shape[1] - PROMPT]
        return scores.index_add(1, copied[None], torch.full((1, 1), 1e3, dtype=scores.dtype))


class Shown:
    """A streamer that keeps what it is given."""

    def __init__(self):
        self.tokens, self.ended = [], 0

    def put(self, value):
        self.tokens += value.flatten().tolist()

    def end(self):
        self.ended += 1


@pytest.fixture(scope="module")
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64).eval()


@pytest.fixture
def passes(model):
    """How many tokens each forward pass read."""
    read = []

    def note(_, args, options):
        read.append(options["input_ids"].shape[1])

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    yield read
    hook.remove()


def decode(model, prompt, proposals, **options):
    shown, processor = Shown(), Copying()
    settings = {"max_new_tokens": NEW, "do_sample": False, "streamer": shown, "logits_processor": [processor], **options}
    settings |= cpu_options(model)
    ids = model.generate(prompt, **(lookup_options(model, settings) if proposals else settings))
    assert shown.tokens == ids[0].tolist()
    assert shown.ended == 1
    return ids[0].tolist(), processor.asked_at


@pytest.mark.parametrize("seed", range(4))
def test_the_text_is_that_of_plain_decoding_and_takes_fewer_passes(model, passes, seed):
    prompt = torch.randint(20, 900, (1, PROMPT), generator=torch.Generator().manual_seed(seed))
    plain, asked_at = decode(model, prompt, proposals=False)
    assert asked_at == list(range(PROMPT, PROMPT + NEW))
    passes.clear()
    assert decode(model, prompt, proposals=True) == (plain, asked_at)
    assert passes[0] == PROMPT
    assert max(passes[1:]) == MOST_PROPOSED + 1
    assert len(passes) < NEW / 2


def test_an_end_and_a_stop_within_what_was_proposed_end_the_text_there(model):
    prompt = torch.randint(20, 900, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    whole, _ = decode(model, prompt, proposals=True)
    for length in range(301, 330):
        stop = [lambda ids, _, length=length: torch.tensor([ids.shape[1] >= length])]
        assert decode(model, prompt, proposals=True, stopping_criteria=stop)[0] == whole[:length]
    end = whole[320]
    ended, _ = decode(model, prompt, proposals=True, eos_token_id=end)
    assert ended == whole[: whole.index(end, 300) + 1]


def test_what_followed_the_longest_run_where_it_stood_last_is_proposed():
    lookup = Lookup()
    lookup.extend([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3])
    assert lookup.proposed()[:2] == [4, 9]  # after 1 2 3, not after the later 2 3
    lookup.extend([4, 7, 2, 3])
    assert lookup.proposed()[:2] == [4, 7]
    lookup.extend([8])
    assert lookup.proposed() == []
    lookup.extend(range(100, 120))
    lookup.extend([100, 101])
    assert lookup.proposed() == list(range(102, 102 + MOST_PROPOSED))


def test_where_proposals_cannot_be_taken_back_or_are_drawn_nothing_changes(model):
    greedy = {"do_sample": False, **cpu_options(model)}
    assert set(lookup_options(model, greedy)) == {*greedy, "custom_generate"}
    for options in (
        {"do_sample": True, **cpu_options(model)},
        {"do_sample": False},
        {"do_sample": False, "past_key_values": SimpleNamespace(layers=[DynamicLayer()])},
    ):
        assert lookup_options(model, options) == options
    older = SimpleNamespace(forward=lambda input_ids: None)
    assert lookup_options(older, greedy) == greedy
