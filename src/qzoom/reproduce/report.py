"""Results as a Markdown page with plots."""

from __future__ import annotations

import json
from pathlib import Path

from qzoom.reproduce.plots import plot_gates, plot_stages
from qzoom.reproduce.tables import boxes_table, gates_table, stages_table, variants_table


def write_report(results: Path) -> Path:
    """Write `tables.md`, `stages.png` and `gates.png` (and SVGs) beside the results."""
    content = json.loads(results.read_text(encoding="utf-8"))
    folder, gates = results.parent, content["gates"]
    sections = [
        stages_table(content["stages"]),
        boxes_table(content["boxes"]),
        variants_table("Depth of the branches (Table VI)", "branches", content["depth"]),
        variants_table(
            "Thresholds of the labels (Table VIII)", "foreground, background", content["rules"]
        ),
        gates_table(gates),
    ]
    target = folder / "tables.md"
    target.write_text("\n".join(sections), encoding="utf-8")
    caption = f"{content['stages']['questions']} questions about unseen scenes, 95 % intervals"
    plot_stages(content["stages"]["rows"], caption, folder / "stages")
    curves = {kind: row["curve"] for kind, row in gates.items()}
    plot_gates(curves, caption.split(",")[0], folder / "gates")
    return target
