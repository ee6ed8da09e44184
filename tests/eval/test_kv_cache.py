"""A cache with room changes the time of a step, not what is written."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicLayer

from eval.decoding import kv_cache
from eval.decoding.kv_cache import RoomyLayer, cpu_options, roomy_cache


@pytest.fixture(scope="module")
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


@pytest.mark.parametrize("sampled", [False, True])
def test_padded_rows_are_written_as_with_transformers_own_cache(model, sampled, monkeypatch):
    monkeypatch.setattr(kv_cache, "GROWTH", 3)  # so that the buffers grow in between
    ids, mask = torch.randint(20, 900, (3, 12)), torch.ones(3, 12, dtype=torch.long)
    mask[0, :5] = 0
    settings = {"attention_mask": mask, "max_new_tokens": 20, "min_new_tokens": 20, "do_sample": sampled, "top_k": 0}
    texts = []
    for options in ({}, cpu_options(model)):
        torch.manual_seed(1)
        texts.append(model.generate(ids, **settings, **options))
    assert torch.equal(*texts)


def test_a_token_is_written_behind_the_others_and_only_a_full_buffer_is_copied(monkeypatch):
    monkeypatch.setattr(kv_cache, "GROWTH", 4)
    roomy, plain, places = RoomyLayer(), DynamicLayer(), []
    for length in (5, 1, 1, 1, 1, 1, 2):
        new = torch.randn(2, 3, length, 4), torch.randn(2, 3, length, 4)
        for ours, theirs in zip(roomy.update(*new), plain.update(*new), strict=True):
            assert torch.equal(ours, theirs)
        places.append(roomy.keys.data_ptr())
    assert len(set(places)) == 2
    assert len(set(places[:5])) == 1


def test_rows_that_were_chosen_out_of_the_cache_go_on_alone():
    layer, new = RoomyLayer(), torch.randn(2, 1, 3, 4)
    layer.update(new, new)
    layer.batch_select_indices(torch.tensor([1]))
    more = torch.randn(1, 1, 1, 4)
    keys, _ = layer.update(more, more)
    assert torch.equal(keys, torch.cat([new[1:], more], dim=-2))


def test_another_device_keeps_transformers_own_cache(model):
    assert set(cpu_options(model)) == {"past_key_values"}
    assert all(isinstance(layer, RoomyLayer) for layer in roomy_cache(model).layers)
    assert cpu_options(SimpleNamespace(device=torch.device("meta"))) == {}


def test_rows_in_another_order_are_not_written_over_the_old_ones():
    layer, new = RoomyLayer(), torch.randn(2, 1, 3, 4)
    layer.update(new, new)
    layer.reorder_cache(torch.tensor([1, 0]))
    more = torch.randn(2, 1, 1, 4)
    keys, _ = layer.update(more, more)
    assert torch.equal(keys, torch.cat([new.flip(0), more], dim=-2))
