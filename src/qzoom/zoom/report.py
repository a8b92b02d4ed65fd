"""Finished runs turned into answers and details."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qzoom.zoom.answer import GenerateOutput, ZoomAnswer
from qzoom.zoom.answered import Answered
from qzoom.zoom.requests import Run
from qzoom.zoom.tickets import Ticket
from qzoom.zoom.timings import Timings


def answer_of(answered: Answered, timings: Timings) -> ZoomAnswer:
    """The answer to one prompt whose text was collected."""
    assert answered.text is not None
    ticket, crop, choice = answered.ticket, answered.ticket.crop, answered.ticket.choice
    rows, cols = (0, 0) if crop is None else crop.grid_hw
    return ZoomAnswer(
        text=answered.text.text,
        zoomed=crop is not None,
        gate_probability=ticket.gate_probability,
        boxes_xyxy_px=[] if crop is None else [(*crop.box_px_xyxy,)],
        heatmap=None if choice is None else choice.heatmap_hw.cpu(),
        image_index=_image_index(ticket),
        token_ids=list(answered.token_ids),
        usage={
            "prompt_tokens": ticket.answered.length,
            "visual_tokens": ticket.layout.source_cells,
            "roi_tokens": rows * cols,
            "new_tokens": len(answered.token_ids),
        },
        timings_s=timings.read(),
        finish_reason=answered.finish_reason,
    )


def _image_index(ticket: Ticket) -> int:
    if ticket.choice is not None:
        return ticket.choice.image_index
    return 0 if ticket.region is None else ticket.region[0]


def sequences_of(run: Run, input_ids: Tensor, pad_token_id: int) -> Tensor:
    """Prompts followed by generated tokens, filled up after the end token."""
    new = [torch.tensor(answered.token_ids) for answered in run.answered]
    generated = pad_sequence(new, batch_first=True, padding_value=pad_token_id)
    return torch.cat([input_ids, generated.to(input_ids.device)], 1)


def details_of(run: Run, input_ids: Tensor, pad_token_id: int) -> GenerateOutput:
    """Details of a finished run, with logits kept, over the prompts in `input_ids`, `(B, n)`."""
    tickets = [answered.ticket for answered in run.answered]
    logits = pad_sequence([torch.stack(steps) for steps in run.logits], batch_first=True)
    return GenerateOutput(
        sequences=sequences_of(run, input_ids, pad_token_id),
        logits=logits,
        gate_probability=[t.gate_probability for t in tickets],
        roi_logits=[t.choice.logits_hw if t.choice else None for t in tickets],
        sink_keep=[t.choice.sink_keep_hw if t.choice else None for t in tickets],
        roi_box_cells=[t.box_cells_xyxy if t.crop else None for t in tickets],
        roi_grid_thw=[t.crop.grid_thw if t.crop else None for t in tickets],
        position_ids=[t.answered.position_ids for t in tickets],
        zoomed=[t.crop is not None for t in tickets],
        zoomed_input_ids=[t.final.input_ids if t.final else None for t in tickets],
    )
