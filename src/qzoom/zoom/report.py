"""Finished runs turned into answers and details."""

from __future__ import annotations


import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qzoom.zoom.answer import GenerateOutput, ZoomAnswer
from qzoom.zoom.crops import Crop
from qzoom.zoom.prefill import Ticket
from qzoom.zoom.requests import Run


def answer_of(run: Run, index: int, text: str) -> ZoomAnswer:
    """The answer to one prompt of a run, with its decoded text."""
    answered = run.answered[index]
    ticket = answered.ticket
    prompt = ticket.answered
    return ZoomAnswer(
        text=text,
        zoomed=ticket.crop is not None,
        gate_probability=ticket.gate_probability,
        boxes_xyxy_px=[tuple(ticket.crop.box_px_xyxy)] if ticket.crop else [],
        heatmap=ticket.choice.heatmap_hw if ticket.choice else None,
        image_index=ticket.choice.image_index if ticket.choice else 0,
        token_ids=list(answered.token_ids),
        usage={
            "prompt_tokens": prompt.length,
            "visual_tokens": ticket.layout.source_cells,
            "roi_tokens": _roi_cells(ticket),
            "new_tokens": len(answered.token_ids),
        },
        timings_s={name: round(seconds, 6) for name, seconds in run.timings_s.items()},
    )


def _roi_cells(ticket: Ticket) -> int:
    if ticket.crop is None:
        return 0
    rows, cols = (
        ticket.crop.features.grid_hw if isinstance(ticket.crop, Crop) else ticket.crop.roi_hw
    )
    return rows * cols


def sequences_of(run: Run, input_ids: Tensor, pad_token_id: int) -> Tensor:
    """Prompts followed by generated tokens, filled up after the end token."""
    new = [torch.tensor(answered.token_ids) for answered in run.answered]
    generated = pad_sequence(new, batch_first=True, padding_value=pad_token_id)
    return torch.cat([input_ids, generated.to(input_ids.device)], 1)


def details_of(run: Run, input_ids: Tensor, pad_token_id: int) -> GenerateOutput:
    """Details of a finished run over the prompts in `input_ids`, of shape `(B, n)`."""
    tickets = [answered.ticket for answered in run.answered]
    logits = pad_sequence([torch.stack(a.logits) for a in run.answered], batch_first=True)
    return GenerateOutput(
        sequences=sequences_of(run, input_ids, pad_token_id),
        logits=logits,
        gate_probability=[t.gate_probability for t in tickets],
        roi_logits=[t.choice.logits_hw if t.choice else None for t in tickets],
        sink_keep=[t.choice.sink_keep_hw if t.choice else None for t in tickets],
        roi_box_cells=[_box(t) for t in tickets],
        roi_grid_thw=[t.crop.grid_thw if t.crop else None for t in tickets],
        position_ids=[t.answered.position_ids for t in tickets],
        zoomed=[t.crop is not None for t in tickets],
        zoomed_input_ids=[t.final.input_ids if t.final else None for t in tickets],
    )


def _box(ticket: Ticket) -> tuple[int, int, int, int] | None:
    if ticket.crop is None or ticket.choice is None or ticket.choice.box_cells_xyxy is None:
        return None
    return tuple(ticket.choice.box_cells_xyxy)


