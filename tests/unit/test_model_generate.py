"""generate(): a processor's tensors in, sequences or every detail out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from tests.tiny import FAMILIES
from tests.tiny_chat import (
    ANY_REGION,
    IMAGE_PAD,
    VOCABULARY,
    chat_model,
    counting,
    picture,
)

import qzoom
from qzoom.errors import ConfigError, PromptError
from qzoom.zoom.answer import GenerateOutput
from qzoom.zoom.chat import question_ids
from qzoom.zoom.prompt import lay_out

LONG: dict[str, Any] = {"max_new_tokens": 6, "eos_token_id": []}
QUESTIONS = ["what is the total?", "which bar is the tallest of them all?", "yes or no?"]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> qzoom.ZoomModel:
    return chat_model(request.param)


def ids_for(model: qzoom.ZoomModel, question: str, *images: Image.Image) -> torch.Tensor:
    grids = [model.grid_of(image) for image in images]
    return question_ids(model.tokenizer, question, grids, IMAGE_PAD)


def padded(rows: list[torch.Tensor], side: str) -> dict[str, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), 9)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for place, row in enumerate(rows):
        at = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[place, at] = row
        mask[place, at] = 1
    return {"input_ids": ids, "attention_mask": mask}


def details(model: qzoom.ZoomModel, **inputs: Any) -> GenerateOutput:
    out = model.generate(**inputs, return_details=True)
    assert isinstance(out, GenerateOutput)
    return out


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_nothing(model: qzoom.ZoomModel, side: str) -> None:
    images = [picture(420, 160), picture(180, 300, seed=1)]
    rows = [
        ids_for(model, QUESTIONS[0], images[0]),
        ids_for(model, QUESTIONS[1], images[1]),
        ids_for(model, QUESTIONS[2]),
    ]
    options: dict[str, Any] = LONG | {"gate_threshold": 0.0, "roi_threshold": 0.0}
    together = details(model, **padded(rows, side), images=images, **options)
    assert together.zoomed == [True, True, False]
    assert together.sequences.shape[1] == max(map(len, rows)) + 6
    for place, row in enumerate(rows):
        mine = images[place : place + 1]
        alone = details(model, input_ids=row[None], images=mine, **options)
        assert torch.equal(together.sequences[place, -6:], alone.sequences[0, -6:])
        torch.testing.assert_close(together.logits[place], alone.logits[0], rtol=0, atol=1e-5)
        assert together.roi_box_cells[place] == alone.roi_box_cells[0]
        assert torch.equal(together.position_ids[place], alone.position_ids[0])


def test_a_session_gives_the_same_tokens(model: qzoom.ZoomModel) -> None:
    image = picture()
    for options in (LONG | {"zoom": "never"}, LONG | ANY_REGION):
        asked = model.open(image).ask(QUESTIONS[0], **options)
        ids = ids_for(model, QUESTIONS[0], image)
        sequences = model.generate(ids[None], images=image, **options)
        assert isinstance(sequences, torch.Tensor)
        assert torch.equal(sequences[0, : len(ids)], ids)
        assert sequences[0, len(ids) :].tolist() == asked.token_ids


def test_pixels_may_come_from_outside(model: qzoom.ZoomModel) -> None:
    images = [picture(420, 160), picture(180, 300, seed=1)]
    ids = ids_for(model, QUESTIONS[0], *images)[None]
    pixels = model.pipeline(images)
    given = {
        "pixel_values": pixels.pixel_values,
        "image_grid_thw": pixels.image_grid_thw,
        "mm_token_type_ids": (ids == IMAGE_PAD).long(),
    }
    ours = details(model, input_ids=ids, images=images, **ANY_REGION, **LONG)
    theirs = details(model, input_ids=ids, images=images, **given, **ANY_REGION, **LONG)
    assert ours.zoomed == [True]
    assert torch.equal(ours.logits, theirs.logits)
    # Without pictures there is nothing to crop from, and without zooming no need for them.
    never = details(model, input_ids=ids, zoom="never", **given, **LONG)
    assert never.zoomed == [False]


@pytest.mark.parametrize("threshold", [0.0, 0.9])
def test_of_several_images_the_one_with_the_highest_peak_is_cropped(
    model: qzoom.ZoomModel, threshold: float
) -> None:
    images = [picture(300, 200, seed=seed) for seed in (3, 4, 5)]
    questions = [QUESTIONS[0], QUESTIONS[1], "how many signs are there?"]
    chosen = set()
    for question in questions:
        for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
            shown = [images[place] for place in order]
            ids = ids_for(model, question, *shown)
            asked = model.open(shown).ask(question, max_new_tokens=1, **ANY_REGION)
            assert asked.heatmap is not None
            level = threshold * float(asked.heatmap.max())
            out = details(
                model,
                input_ids=ids[None],
                images=shown,
                gate_threshold=0.0,
                roi_threshold=level,
                **LONG,
            )
            box, roi_grid, final = out.roi_box_cells[0], out.roi_grid_thw[0], out.zoomed_input_ids
            assert box is not None
            assert roi_grid is not None
            assert final[0] is not None
            chosen.add(asked.image_index)
            layout = lay_out(ids, [model.grid_of(image) for image in shown], model.parts.ids)
            rows, cols = roi_grid[1] // 2, roi_grid[2] // 2
            first = layout.prefix_length + 2
            cells = out.position_ids[0][:, first : first + rows * cols].view(3, rows, cols)
            origin = layout.image_origins[asked.image_index]
            corner = [float(origin + box[1]), float(origin + box[0])]
            assert cells[1:, 0, 0].tolist() == corner
            assert cells[1, -1, 0] == (origin + box[3] - 1 if rows > 1 else corner[0])
    assert len(chosen) > 1


def test_text_alone(model: qzoom.ZoomModel) -> None:
    rows = [ids_for(model, question) for question in QUESTIONS]
    out = details(model, **padded(rows, "left"), zoom="always", **LONG)
    assert out.zoomed == [False] * 3
    assert out.gate_probability == [None] * 3
    trunk = model.parts.backbone.trunk
    for place, row in enumerate(rows):
        with torch.inference_mode():
            theirs = trunk.generate(
                input_ids=row[None],
                attention_mask=torch.ones_like(row)[None],
                max_new_tokens=6,
                do_sample=False,
                eos_token_id=VOCABULARY - 1,
            )
        assert torch.equal(out.sequences[place, -6:], theirs[0, -6:])


def test_a_direct_answer_is_that_of_transformers(model: qzoom.ZoomModel) -> None:
    image = picture()
    ids = ids_for(model, QUESTIONS[0], image)[None]
    pixels = model.pipeline([image])
    ours = model.generate(ids, images=[image], zoom="never", **LONG)
    with torch.inference_mode():
        theirs = model.parts.backbone.trunk.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels.pixel_values,
            image_grid_thw=pixels.image_grid_thw,
            mm_token_type_ids=(ids == IMAGE_PAD).int(),
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=VOCABULARY - 1,
        )
    assert torch.equal(ours, theirs)


def test_rows_that_ended_are_filled_up(model: qzoom.ZoomModel) -> None:
    rows = [ids_for(model, question) for question in QUESTIONS]
    free = details(model, **padded(rows, "left"), **LONG)
    new = free.sequences[:, -6:].tolist()
    end = new[0][1]
    out = details(model, **padded(rows, "left"), max_new_tokens=6, eos_token_id=end, pad_token_id=8)
    for place, tokens in enumerate(new):
        count = tokens.index(end) + 1 if end in tokens else 6
        answer = out.sequences[place, free.sequences.shape[1] - 6 :].tolist()
        filled = (tokens[:count] + [8] * 6)[: len(answer)]
        assert answer == filled
        assert not out.logits[place, count:].any()
    assert out.sequences[0, -6:].tolist() != new[0]


def test_sampling_is_off_unless_asked_for(model: qzoom.ZoomModel) -> None:
    ids = ids_for(model, QUESTIONS[0])[None]
    greedy = model.generate(ids, **LONG)
    assert torch.equal(greedy, model.generate(ids, temperature=5.0, top_k=0, **LONG))
    warm: dict[str, Any] = {"do_sample": True, "temperature": 5.0, **LONG}
    sampled = model.generate(ids, seed=1, **warm)
    assert not torch.equal(greedy, sampled)
    assert torch.equal(sampled, model.generate(ids, seed=1, **warm))


def test_inputs_that_do_not_fit_together_are_refused_in_words(model: qzoom.ZoomModel) -> None:
    image = picture()
    ids = ids_for(model, QUESTIONS[0], image)[None]
    pixels = model.pipeline([image])
    values, grid = pixels.pixel_values, pixels.image_grid_thw
    twice, cells = grid * torch.tensor([2, 1, 1]), int((ids == IMAGE_PAD).sum())
    cases: list[tuple[dict[str, Any], str]] = [
        ({"input_ids": ids[0]}, r"must have shape \(B, n\)"),
        ({"input_ids": ids[:0]}, r"must have shape \(B, n\)"),
        ({"input_ids": ids[:, :0]}, "prompt 1 is empty"),
        ({"input_ids": ids, "attention_mask": ids * 0, "images": image}, "prompt 1 is empty"),
        ({"input_ids": ids, "attention_mask": ids[:, 1:]}, "they must be equal"),
        ({"input_ids": ids}, f"prompt 1 has {cells} image tokens too many"),
        ({"input_ids": ids[:, 10:], "images": image}, "image tokens too few"),
        ({"input_ids": ids, "images": [image, image]}, "2 images were given but the prompts use 1"),
        ({"input_ids": ids + VOCABULARY, "images": image}, "the model knows 0 to 1023"),
        ({"input_ids": -ids, "images": image}, "token ids from -"),
        ({"input_ids": ids, "pixel_values": values}, "belong together"),
        ({"input_ids": ids, "image_grid_thw": grid}, "belong together"),
        (
            {"input_ids": ids, "pixel_values": values, "image_grid_thw": grid},
            "got 0 images for 1 grids",
        ),
        (
            {"input_ids": ids, "pixel_values": values[1:], "image_grid_thw": grid},
            f"has {4 * cells - 1} patches, image_grid_thw {4 * cells}",
        ),
        (
            {"input_ids": ids, "pixel_values": values.repeat(2, 1), "image_grid_thw": twice},
            "give still images",
        ),
    ]
    with counting(model) as counts:
        for inputs, says in cases:
            with pytest.raises(PromptError, match=says):
                model.generate(**inputs)
    assert not any(counts.trunk)


def test_options_that_do_not_exist_are_refused(model: qzoom.ZoomModel) -> None:
    ids = ids_for(model, QUESTIONS[0])[None]
    for option in ("position_ids", "pixel_values_videos", "num_beams"):
        with pytest.raises(ConfigError, match=f"unknown option '{option}'"):
            model.generate(ids, **{option: 1})
    with pytest.raises(ConfigError, match="stop strings need text"):
        model.generate(ids, stop="x")


def test_integer_types_and_a_frozen_prompt_are_fine(model: qzoom.ZoomModel) -> None:
    ids = ids_for(model, QUESTIONS[0])[None]
    before = ids.clone()
    with torch.inference_mode():
        frozen = ids.clone()
    wide = model.generate(ids, **LONG)
    assert torch.equal(model.generate(ids.int(), **LONG), wide)
    assert torch.equal(
        model.generate(frozen, attention_mask=torch.ones_like(ids) > 0, **LONG), wide
    )
    assert torch.equal(ids, before)
