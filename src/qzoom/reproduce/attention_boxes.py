"""The training-free rival (Table V): attention of the model's own answer, thresholded to a box."""

from __future__ import annotations

from qzoom.geometry.boxes import Box, cells_to_pixels
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.reproduce.measure import Look
from qzoom.synth.canvas import Question
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.session import ImageSession


def attention_look(model: ZoomModel, heads: HeadPreset, settings: RegionLabelSettings) -> Look:
    """Answer once, look where that answer's attention was, answer again.

    Args:
        model: with zoom branches, which are not asked.
        settings: of the labels that the region network is trained on.
    """
    labeller = RegionLabeller(model, heads, settings)

    def look(session: ImageSession, question: Question) -> ZoomAnswer:
        image = session.images[0]
        sample = RegionSample("", "", image, question.text, "textual")
        (row,) = labeller([sample])
        box_cells = row.fields["box_cells_xyxy"]
        if box_cells is None:  # an answer of one token has no decoding step to read
            return session.ask(question.text, zoom="never", max_new_tokens=8)
        grid_hw = row.fields["grid_hw"]
        box_px = cells_to_pixels(Box(*box_cells), (grid_hw[0], grid_hw[1]), image.size)
        return session.ask(question.text, box_xyxy_px=box_px, max_new_tokens=8)

    return look
