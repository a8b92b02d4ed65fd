"""Keys and values: appended, cut at the end, copied and chosen, never rewritten."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qzoom.zoom.cache import FrozenStore, KVStore

LAYERS, BATCH, HEADS, SIZE = 3, 2, 2, 4


def rows(count: int, seed: int = 0, batch: int = BATCH) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shape = (batch, HEADS, count, SIZE)
    return torch.randn(shape, generator=draw), torch.randn(shape, generator=draw)


def filled(count: int, room: int = 4) -> KVStore:
    store = KVStore(LAYERS, room)
    for layer in range(LAYERS):
        store.update(*rows(count, seed=layer), layer)
    return store


def same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def cut(pair: tuple[Tensor, Tensor], start: int, end: int | None = None) -> tuple[Tensor, Tensor]:
    return pair[0][:, :, start:end], pair[1][:, :, start:end]


def test_a_new_store_is_empty() -> None:
    store = KVStore(LAYERS)
    assert [store.length(layer) for layer in range(LAYERS)] == [0] * LAYERS
    with pytest.raises(IndexError, match="layer 1 holds no rows"):
        store.rows(1)


def test_update_appends_and_returns_everything() -> None:
    store, (keys, values) = KVStore(LAYERS, room=3), rows(9)
    for start, end in ((0, 1), (1, 5), (5, 9)):
        found = store.update(keys[:, :, start:end], values[:, :, start:end], 1)
        assert same(found, cut((keys, values), 0, end))
    assert [store.length(layer) for layer in range(LAYERS)] == [0, 9, 0]


def test_layers_may_differ_in_length() -> None:
    store = filled(5)
    store.update(*rows(2, seed=9), 0)
    assert [store.length(layer) for layer in range(LAYERS)] == [7, 5, 5]
    store.truncate(6)
    assert [store.length(layer) for layer in range(LAYERS)] == [6, 5, 5]


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=12),
    room=st.integers(0, 5),
)
def test_any_sequence_of_appends_and_cuts(steps: list[tuple[bool, int]], room: int) -> None:
    store, expected = KVStore(1, room), cut(rows(1), 0, 0)
    for seed, (is_cut, amount) in enumerate(steps):
        if is_cut:
            store.truncate(amount)
            expected = cut(expected, 0, amount)
        elif amount:
            new = rows(amount, seed)
            expected = (torch.cat([expected[0], new[0]], 2), torch.cat([expected[1], new[1]], 2))
            assert same(store.update(*new, 0), expected)
        assert store.length(0) == expected[0].shape[2]
    if any(amount and not is_cut for is_cut, amount in steps):
        assert same(store.rows(0), expected)


def test_rows_before_a_cut_survive_what_is_written_after_it() -> None:
    store, before = filled(6), rows(6, seed=1)
    store.truncate(4)
    after = rows(3, seed=8)
    store.update(*after, 1)
    assert same(cut(store.rows(1), 0, 4), cut(before, 0, 4))
    assert same(cut(store.rows(1), 4), after)


def test_decoding_seldom_moves_what_is_stored() -> None:
    store = filled(40, room=16)
    places = set()
    for step in range(300):
        keys, _ = store.update(*rows(1, seed=step), 0)
        places.add(keys.data_ptr())
    # Growing by half each time, 40 rows become 340 in six moves.
    assert len(places) <= 7


def test_a_copy_is_not_touched_by_the_store() -> None:
    store = filled(6)
    copied = store.copy_rows(2, 5)
    assert all(same(copied[layer], cut(rows(6, layer), 2, 5)) for layer in range(LAYERS))
    store.truncate(0)
    for layer in range(LAYERS):
        store.update(*rows(6, seed=20 + layer), layer)
    assert all(same(copied[layer], cut(rows(6, layer), 2, 5)) for layer in range(LAYERS))
    to_the_end = store.copy_rows(4)
    assert all(pair[0].shape[2] == 2 for pair in to_the_end)


def test_copied_rows_can_be_appended_again() -> None:
    store = filled(6)
    copied = store.copy_rows(3, 6)
    store.truncate(3)
    store.append_rows(copied)
    assert all(same(store.rows(layer), rows(6, layer)) for layer in range(LAYERS))
    # What was appended is the store's own now.
    store.rows(0)[0][:, :, 3:] = 0
    assert same(copied[0], cut(rows(6, 0), 3, 6))


def test_select_takes_batch_rows_in_order_and_copies_them() -> None:
    store = filled(5)
    chosen = store.select(torch.tensor([1, 0, 1]))
    store.rows(2)[0].zero_()
    keys, values = rows(5, seed=2)
    assert same(chosen.rows(2), (keys[[1, 0, 1]], values[[1, 0, 1]]))
    chosen.update(*rows(1, seed=7, batch=3), 2)
    assert (chosen.length(2), store.length(2)) == (6, 5)


def test_select_keeps_empty_layers_empty() -> None:
    store = KVStore(LAYERS)
    store.update(*rows(2), 0)
    chosen = store.select(torch.tensor([0]))
    assert [chosen.length(layer) for layer in range(LAYERS)] == [2, 0, 0]


def test_a_frozen_store_keeps_what_it_has() -> None:
    store = filled(4)
    frozen = FrozenStore(store)
    assert same(frozen.update(*rows(1, seed=5), 1), rows(4, seed=1))
    assert store.length(1) == 4
    store.update(*rows(1, seed=6), 1)
    assert same(frozen.update(*rows(1, seed=5), 1), store.rows(1))


def test_update_takes_what_attention_layers_pass_besides() -> None:
    store = KVStore(1)
    store.update(*rows(2), 0, {"cache_position": None}, sin=None)
    FrozenStore(store).update(*rows(2), 0, {"cache_position": None}, sin=None)
    assert store.length(0) == 2


def test_the_type_of_the_rows_is_kept() -> None:
    store = KVStore(1)
    keys, values = (part.bfloat16() for part in rows(3))
    store.update(keys, values, 0)
    store.update(keys, values, 0)
    assert {part.dtype for part in store.rows(0)} == {torch.bfloat16}


def test_a_store_of_no_layers() -> None:
    store = KVStore(0)
    store.truncate(3)
    assert store.copy_rows(0) == []
