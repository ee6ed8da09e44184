"""What a row gave up: the model goes on as if it had never been written."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from eval.decoding import shared_prefill
from eval.decoding.forgetful import forgetful_options
from eval.decoding.kv_cache import cpu_options
from eval.decoding.prompt_lookup import lookup_options

PROMPT, WRITTEN, KEPT, FORCED, NEW = 60, 12, 5, 77, 30


class GivesUp:
    """A grounded row that, where WRITTEN tokens stand behind the prompt, keeps KEPT of them and is given FORCED."""

    def __init__(self):
        self.forgotten = []

    def take_forgotten(self):
        forgotten, self.forgotten = self.forgotten, []
        return forgotten


class Forcing:
    """A logits processor. `seen`: the first row's scores behind FORCED; a small random model says much the same behind any text."""

    def __init__(self, rows, length=PROMPT + WRITTEN):
        self.rows, self.length, self.seen = rows, length, []

    def __call__(self, input_ids, scores):
        if input_ids.shape[1] > self.length:
            self.seen.append(scores[0].double())
        for at, row in enumerate(self.rows):
            if row and input_ids.shape[1] == self.length:
                row.forgotten = list(range(KEPT, WRITTEN))
                scores[at] = float("-inf")
                scores[at, FORCED] = 0.0
        return scores


@pytest.fixture(scope="module")
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64).eval()


def prompts(count, seed):
    return torch.randint(20, 900, (count, PROMPT), generator=torch.Generator().manual_seed(seed))


def generate(model, how=lambda options: options, new=NEW, **options):
    options = {"do_sample": False, "max_new_tokens": new, "pad_token_id": 0, "eos_token_id": 1, **options}
    with torch.inference_mode():
        rows = model.generate(**how({**cpu_options(model), **options})).tolist()
    return [row[len(row) - new :] for row in rows]


def goes_on_as_never_written(model, prompt, written, forcing):
    """Of the row: the tokens behind FORCED and their scores are those behind the prompt, what was kept, and FORCED."""
    assert written[WRITTEN] == FORCED
    begun = torch.tensor([[*prompt, *written[:KEPT], FORCED]])
    plain = Forcing([None], begun.shape[1] - 1)
    new = NEW - WRITTEN - 1
    [expected] = generate(model, new=new, input_ids=begun, attention_mask=torch.ones_like(begun), logits_processor=[plain])
    assert written[WRITTEN + 1 :] == expected
    assert len(forcing.seen) == len(plain.seen) == new
    for ours, theirs in zip(forcing.seen, plain.seen, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("proposals", [False, True])
def test_a_row_goes_on_from_what_it_kept(model, proposals):
    ids, row = prompts(1, 3), GivesUp()
    forcing = Forcing([row])

    def forgetful(options):
        return lookup_options(model, options, row) if proposals else forgetful_options(options, [row])

    [written] = generate(model, forgetful, input_ids=ids, attention_mask=torch.ones_like(ids), logits_processor=[forcing])
    goes_on_as_never_written(model, ids[0].tolist(), written, forcing)


def test_rows_beside_it_and_padding_change_nothing(model):
    ids, rows = prompts(2, 4), [GivesUp(), None]
    mask, forcing = torch.ones_like(ids), Forcing(rows)
    mask[0, :17] = ids[0, :17] = 0
    both = generate(
        model, lambda options: forgetful_options(options, rows), input_ids=ids, attention_mask=mask, logits_processor=[forcing]
    )
    goes_on_as_never_written(model, ids[0, 17:].tolist(), both[0], forcing)
    assert [both[1]] == generate(model, input_ids=ids[1:], attention_mask=mask[1:])


def test_a_row_that_has_ended_is_decoded_no_more(model):
    """The rows beside it say what they say without it, whichever of them ends, and the model sees the others alone."""
    ids, seen = prompts(3, 6), []
    alone = [generate(model, input_ids=ids[at : at + 1], attention_mask=torch.ones(1, PROMPT))[0] for at in range(3)]
    assert not any(1 in row for row in alone)

    def ending(input_ids, scores):
        assert len(scores) == 3
        for at, step in ((1, 4), (0, 9)):
            if input_ids.shape[1] == PROMPT + step:
                scores[at] = float("-inf")
                scores[at, 1] = 0.0
        return scores

    hook = model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True)
    try:
        rows = generate(
            model,
            lambda options: forgetful_options(options, [GivesUp() for _ in ids]),
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            logits_processor=[ending],
        )
    finally:
        hook.remove()
    assert rows == [[*alone[0][:9], 1, *[0] * (NEW - 10)], [*alone[1][:4], 1, *[0] * (NEW - 5)], alone[2]]
    assert seen == [3] * 5 + [2] * 5 + [1] * (NEW - 10)


def test_samples_that_forget_go_on_from_copies_of_one_reading(model, monkeypatch):
    monkeypatch.setattr(shared_prefill, "can_share", lambda *_: pytest.fail("what is shared, no row can forget alone"))
    ids, rows = prompts(1, 5), [GivesUp(), None]
    forcing = Forcing(rows)
    with torch.inference_mode():
        read = shared_prefill.read_once(model, ids, torch.ones_like(ids), [0, 0], copied=True)
    both = generate(model, lambda options: forgetful_options(options, rows), **read, logits_processor=[forcing])
    goes_on_as_never_written(model, ids[0].tolist(), both[0], forcing)
    assert [both[1]] == generate(model, input_ids=ids, attention_mask=torch.ones_like(ids))


def test_free_rows_are_generated_as_ever():
    assert forgetful_options({"a": 1}, [None, None]) == {"a": 1}
