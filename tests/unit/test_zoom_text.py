"""Tokens turned into text: nothing is shown that could still change or belongs to a stop string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.tiny_chat import VOCABULARY, chat_tokenizer

from qzoom.zoom.text import TextTracker

TOKENIZER = chat_tokenizer()
# Bytes make broken characters; ids past the tokenizer's own are those of a padded vocabulary.
ANY_TOKENS = st.lists(st.integers(0, VOCABULARY - 1) | st.integers(7, 262), max_size=30)


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return ids


def decoded(ids: list[int]) -> str:
    return str(TOKENIZER.decode(ids, skip_special_tokens=True))


def track(ids: list[int], *stop: str) -> tuple[list[str], TextTracker]:
    tracker = TextTracker(TOKENIZER, stop)
    pieces = [tracker.push(token) for token in ids]
    return [*pieces, tracker.finish()], tracker


@given(ANY_TOKENS)
def test_pieces_join_to_what_the_tokenizer_decodes(ids: list[int]) -> None:
    pieces, tracker = track(ids)
    assert "".join(pieces) == tracker.text == decoded(ids)
    assert not tracker.stopped


@given(ANY_TOKENS, st.lists(st.text("abeirt ", min_size=1, max_size=4), max_size=3))
def test_stop_strings_cut_at_the_first_that_comes(ids: list[int], stops: list[str]) -> None:
    pieces, tracker = track(ids, *stops)
    whole = decoded(ids)
    assert tracker.stopped == any(stop in whole for stop in stops)
    assert "".join(pieces) == tracker.text
    assert whole.startswith(tracker.text)
    for stop in stops:
        assert stop not in tracker.text
    if not tracker.stopped:
        assert tracker.text == whole


def test_a_stop_string_over_several_tokens_is_never_shown_in_part() -> None:
    ids = ids_of("river tiger stone")
    assert len(ids) > 2
    pieces, tracker = track(ids, "er tig")
    assert tracker.text == "riv"
    assert tracker.stopped
    assert "".join(pieces[:1]) == "riv"
    assert all(not piece for piece in pieces[1:])


def test_what_only_began_a_stop_string_is_shown_in_the_end() -> None:
    pieces, tracker = track(ids_of("river"), "er tig")
    assert pieces == ["riv", "er"]
    assert tracker.text == "river"


def test_characters_of_several_tokens_come_whole() -> None:
    ids = ids_of("né 😀!")
    pieces, tracker = track(ids)
    assert tracker.text == "né 😀!"
    assert len(ids) > len([piece for piece in pieces if piece])
    assert not any("\ufffd" in piece for piece in pieces)
    broken, tracker = track(ids_of("😀")[:-1])
    assert not any(broken[:-1])
    assert set(tracker.text) == {"\ufffd"}


def test_special_tokens_are_not_text() -> None:
    ids = [1, *ids_of("tiger"), 5, 6, *ids_of(" river"), 2, 0]
    assert track(ids)[1].text == "tiger river"


def test_after_a_stop_nothing_comes() -> None:
    tracker = TextTracker(TOKENIZER, ("tiger",))
    assert [tracker.push(token) for token in ids_of("a tiger river")][-1] == ""
    assert tracker.stopped
    assert tracker.push(ids_of("stone")[0]) == ""
    assert tracker.finish() == ""
    assert tracker.text == "a "
