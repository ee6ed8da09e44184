"""What a row gave up: the model goes on as if it had never been written."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from eval.decoding.forgetful import forgetful_options
from eval.decoding.kv_cache import cpu_options
from eval.decoding.prompt_lookup import lookup_options
from eval.decoding.shared_prefill import read_once

WRITTEN, KEPT, FORCED, NEW = 12, 5, 77, 30


class GivesUp:
    """A grounded row that, where WRITTEN tokens stand behind the prompt, keeps KEPT of them and is given FORCED."""

    def __init__(self):
        self.forgotten = []

    def take_forgotten(self):
        forgotten, self.forgotten = self.forgotten, []
        return forgotten


def forcing(rows, length):
    def processor(input_ids, scores):
        for at, row in enumerate(rows):
            if row and input_ids.shape[1] == length + WRITTEN:
                row.forgotten = list(range(KEPT, WRITTEN))
                scores[at] = float("-inf")
                scores[at, FORCED] = 0.0
        return scores

    return processor


@pytest.fixture(scope="module")
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64).eval()


def generate(model, ids, mask, how, **options):
    with torch.inference_mode():
        return model.generate(
            ids,
            attention_mask=mask,
            pad_token_id=0,
            eos_token_id=1,
            **how({"do_sample": False, **options, **cpu_options(model)}),
        )


def plain(options):
    return options


@pytest.mark.parametrize("proposals", [False, True])
def test_a_row_goes_on_from_what_it_kept(model, proposals):
    ids = torch.randint(20, 900, (1, 60), generator=torch.Generator().manual_seed(3))
    row = GivesUp()

    def forgetful(options):
        return lookup_options(model, options, row) if proposals else forgetful_options(options, [row])

    ones = torch.ones_like(ids)
    whole = generate(model, ids, ones, forgetful, max_new_tokens=NEW, logits_processor=[forcing([row], 60)])[0, 60:].tolist()
    assert whole[WRITTEN] == FORCED
    begun = torch.tensor([[*ids[0].tolist(), *whole[:KEPT], FORCED]])
    expected = generate(model, begun, torch.ones_like(begun), plain, max_new_tokens=NEW - WRITTEN - 1)[
        0, begun.shape[1] :
    ].tolist()
    assert whole[WRITTEN + 1 :] == expected
    straight = generate(model, ids, ones, plain, max_new_tokens=NEW, logits_processor=[forcing([None], 60)])[0, 60:].tolist()
    assert whole[WRITTEN:] != straight[WRITTEN:]


def test_rows_beside_it_and_padding_change_nothing(model):
    ids = torch.randint(20, 900, (2, 60), generator=torch.Generator().manual_seed(4))
    mask = torch.ones_like(ids)
    mask[0, :17] = 0
    ids[0, :17] = 0
    row = GivesUp()
    how = {"max_new_tokens": NEW, "logits_processor": [forcing([row, None], 60)]}
    both = generate(model, ids, mask, lambda options: forgetful_options(options, [row, None]), **how)[:, 60:].tolist()
    begun = torch.tensor([[*ids[0, 17:].tolist(), *both[0][:KEPT], FORCED]])
    expected = generate(model, begun, torch.ones_like(begun), plain, max_new_tokens=NEW - WRITTEN - 1)[
        0, begun.shape[1] :
    ].tolist()
    assert both[0][WRITTEN + 1 :] == expected
    assert both[1] == generate(model, ids[1:], mask[1:], plain, max_new_tokens=NEW)[0, 60:].tolist()


def test_samples_that_forget_go_on_from_copies_of_one_reading(model):
    ids = torch.randint(20, 900, (1, 60), generator=torch.Generator().manual_seed(5))
    rows = [GivesUp(), None]
    with torch.inference_mode():
        read = read_once(model, ids, torch.ones_like(ids), [0, 0], copied=True)
        how = {"do_sample": False, "max_new_tokens": NEW, "logits_processor": [forcing(rows, 60)]}
        both = model.generate(**read, pad_token_id=0, eos_token_id=1, **forgetful_options(how, rows))[:, 60:].tolist()
    begun = torch.tensor([[*ids[0].tolist(), *both[0][:KEPT], FORCED]])
    expected = generate(model, begun, torch.ones_like(begun), plain, max_new_tokens=NEW - WRITTEN - 1)[
        0, begun.shape[1] :
    ].tolist()
    assert both[0][WRITTEN + 1 :] == expected
    assert both[1] == generate(model, ids, torch.ones_like(ids), plain, max_new_tokens=NEW)[0, 60:].tolist()


def test_free_rows_are_generated_as_ever():
    assert forgetful_options({"a": 1}, [None, None]) == {"a": 1}
