"""The API as OpenAI's own client sees it, over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import torch
from tests.serve.live import NAME, served, user
from tests.tiny_chat import ANY_REGION, chat_model, picture

import qzoom
from qzoom.serve.state import ServerState
from qzoom.zoom.chat import Message, Picture, conversation_ids

ZOOMED: dict[str, Any] = {"qzoom": ANY_REGION | {"roi_threshold": 0.0}}
DIRECT: dict[str, Any] = {"qzoom": {"direct": True}}


@pytest.fixture(scope="module")
def model() -> qzoom.ZoomModel:
    return chat_model("qwen3_vl")


@pytest.fixture(scope="module")
def running(model: qzoom.ZoomModel) -> Iterator[tuple[ServerState, str]]:
    with served(model) as found:
        yield found


@pytest.fixture(scope="module")
def client(running: tuple[ServerState, str]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=running[1], api_key="none", max_retries=0) as found:
        yield found


def ask(client: openai.OpenAI, *messages: Any, **options: Any) -> Any:
    given: dict[str, Any] = {"model": NAME, "max_tokens": 8} | options
    return client.chat.completions.create(messages=messages, **given)


def alone(model: qzoom.ZoomModel, question: str, **options: Any) -> qzoom.ZoomAnswer:
    given: Any = {"max_new_tokens": 8} | options
    return model.open(picture()).ask(question, **given)


def test_an_answer_equals_the_library_s(client: openai.OpenAI, model: qzoom.ZoomModel) -> None:
    for extra, options in ((ZOOMED, ANY_REGION), (DIRECT, {"zoom": "never"})):
        found = ask(client, user(picture(), "what?"), extra_body=extra)
        expected = alone(model, "what?", **options)
        choice = found.choices[0]
        assert choice.message.content == expected.text
        assert choice.finish_reason == expected.finish_reason
        assert found.usage.prompt_tokens == expected.usage["prompt_tokens"]
        assert found.usage.completion_tokens == expected.usage["new_tokens"]
        assert found.usage.prompt_tokens_details.image_tokens == sum(
            expected.usage[kind] for kind in ("visual_tokens", "roi_tokens")
        )
        assert found.qzoom["zoomed"] is expected.zoomed
        assert [tuple(box) for box in found.qzoom["boxes_xyxy_px"]] == expected.boxes_xyxy_px
        assert found.qzoom["gate_probability"] == pytest.approx(expected.gate_probability)
        assert found.qzoom["timings_s"]["total"] > 0


def test_a_stream_tells_the_same_in_pieces(client: openai.OpenAI, model: qzoom.ZoomModel) -> None:
    usage: Any = {"include_usage": True}
    stream = ask(
        client, user(picture(), "what?"), stream=True, stream_options=usage, extra_body=ZOOMED
    )
    first, *rest = list(stream)
    *pieces, last, counts = rest
    expected = alone(model, "what?", **ANY_REGION)
    assert first.choices[0].delta.role == "assistant"
    assert [tuple(box) for box in first.qzoom["boxes_xyxy_px"]] == expected.boxes_xyxy_px
    assert "".join(chunk.choices[0].delta.content for chunk in pieces) == expected.text
    assert last.choices[0].finish_reason == expected.finish_reason
    assert last.qzoom["roi_tokens"] == expected.usage["roi_tokens"]
    assert counts.choices == []
    assert counts.usage.completion_tokens == expected.usage["new_tokens"]
    assert len({chunk.id for chunk in (first, *rest)}) == 1


def test_the_map_is_sent_where_it_is_wanted(client: openai.OpenAI, model: qzoom.ZoomModel) -> None:
    extra = {"qzoom": ZOOMED["qzoom"] | {"return_heatmap": True}}
    found = ask(client, user(picture(), "what?"), extra_body=extra).qzoom["heatmap_hw"]
    expected = alone(model, "what?", **ANY_REGION).heatmap
    assert expected is not None
    torch.testing.assert_close(torch.tensor(found), expected, rtol=0, atol=1e-4)
    assert "heatmap_hw" not in ask(client, user(picture(), "what?"), extra_body=ZOOMED).qzoom


def test_logprobs_are_those_of_the_tokens(client: openai.OpenAI, model: qzoom.ZoomModel) -> None:
    for options in ({}, {"stream": True}):
        found = ask(
            client, user(picture(), "what?"), logprobs=True, top_logprobs=3, **options,
            extra_body=DIRECT,
        )  # fmt: skip
        chunks = [found] if not options else [c for c in found if c.choices]
        content = [
            token
            for chunk in chunks
            if chunk.choices[0].logprobs is not None
            for token in chunk.choices[0].logprobs.content
        ]
        expected = alone(model, "what?", zoom="never")
        assert len(content) == len(expected.token_ids)
        for token in content:
            best = [each.logprob for each in token.top_logprobs]
            assert token.logprob == best[0] == max(best)
            assert len(best) == 3


def test_images_and_turns_in_any_order(client: openai.OpenAI, model: qzoom.ZoomModel) -> None:
    first, second = picture(), picture(180, 300, seed=1)
    messages = [
        {"role": "system", "content": "be brief"},
        user("look at this", first),
        {"role": "assistant", "content": "a sign"},
        user(second, "which one is red?"),
    ]
    found = ask(client, *messages, extra_body=ZOOMED | {"ignore_eos": True})
    tokenizer, ids = model.require_tokenizer(), model.parts.ids
    parts = [
        Message("system", ["be brief"]),
        Message("user", ["look at this", Picture()]),
        Message("assistant", ["a sign"]),
        Message("user", [Picture(), "which one is red?"]),
    ]
    grids = [model.grid_of(image) for image in (first, second)]
    prompt = conversation_ids(tokenizer, parts, grids, ids.image)
    sequences = model.generate(
        prompt[None], images=[first, second], max_new_tokens=8, eos_token_id=[], **ANY_REGION
    )
    assert isinstance(sequences, torch.Tensor)
    new = sequences[0, len(prompt) :].tolist()
    assert found.choices[0].message.content == tokenizer.decode(new, skip_special_tokens=True)
    assert found.usage.completion_tokens == 8


def test_sampling_options_reach_the_model(client: openai.OpenAI, model: qzoom.ZoomModel) -> None:
    warm: dict[str, Any] = {"temperature": 1.2, "top_p": 0.9, "seed": 7, "extra_body": DIRECT}
    once, again = (ask(client, user(picture(), "what?"), **warm) for _ in range(2))
    expected = alone(model, "what?", zoom="never", temperature=1.2, top_p=0.9, seed=7)
    assert once.choices[0].message.content == again.choices[0].message.content == expected.text
    whole = alone(model, "what?", zoom="never").text
    cut = ask(client, user(picture(), "what?"), stop=[whole[2:4]], extra_body=DIRECT)
    assert cut.choices[0].message.content == whole[: whole.index(whole[2:4])]
    assert cut.choices[0].finish_reason == "stop"


def test_a_known_image_is_not_encoded_again(client: openai.OpenAI, running: Any) -> None:
    def encoded_s(question: str, salt: str) -> float:
        extra = DIRECT | {"cache_salt": salt}
        found = ask(client, user(picture(seed=9), question), extra_body=extra)
        return float(found.qzoom["timings_s"]["encode"])

    assert encoded_s("what?", "mine") > 0
    assert encoded_s("how many?", "mine") == 0
    assert encoded_s("how many?", "yours") > 0


def test_models_and_their_names(client: openai.OpenAI) -> None:
    assert [card.id for card in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).id == NAME
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        ask(client, user("hello"), model="gpt")


def test_metrics_count(client: openai.OpenAI, running: tuple[ServerState, str]) -> None:
    ask(client, user(picture(), "what?"), extra_body=ZOOMED)
    text = httpx.get(running[1].replace("/v1", "/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['qzoom_requests_total{status="200"}']) >= 1
    assert float(values["qzoom_zoomed_total"]) >= 1
    assert float(values['qzoom_tokens_total{kind="new"}']) >= 8
    assert float(values["qzoom_running"]) == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_row(model: qzoom.ZoomModel, stream: bool) -> None:
    with served(model) as (state, url):
        body = {"messages": [user(picture(), "what?")], "max_tokens": 4000, "stream": stream}
        body |= {"ignore_eos": True}
        with httpx.Client(base_url=url, timeout=30.0 if stream else 1.0) as impatient:
            if stream:
                with impatient.stream("POST", "/chat/completions", json=body) as response:
                    next(response.iter_lines())
                    assert state.engine.running == 1
            else:
                with pytest.raises(httpx.ReadTimeout):
                    impatient.post("/chat/completions", json=body)
        with openai.OpenAI(base_url=url, api_key="none") as client:
            found = ask(client, user(picture(), "what?"))
        assert found.choices[0].message.content is not None
        for _ in range(1000):
            if state.engine.running == 0:
                break
            httpx.get(url.replace("/v1", "/health"))
        assert state.engine.running == 0


def test_a_stopping_server_says_so(model: qzoom.ZoomModel) -> None:
    with served(model, grace_s=0.5) as (state, url):
        base = url.replace("/v1", "")
        assert httpx.get(base + "/ready").status_code == 200
        body = {"messages": [user(picture(), "what?")], "max_tokens": 4000, "stream": True}
        body |= {"ignore_eos": True}
        with (
            httpx.Client(base_url=url, timeout=30.0) as client,
            client.stream("POST", "/chat/completions", json=body) as response,
        ):
            lines = response.iter_lines()
            next(lines)
            state.engine.drain(0.3)
            assert httpx.get(base + "/ready").status_code == 503
            refused = httpx.post(url + "/chat/completions", json=body)
            assert refused.status_code == 503
            assert "stopping" in refused.json()["error"]["message"]
            assert "before the answer was done" in list(lines)[-2]
