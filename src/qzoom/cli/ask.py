"""`qzoom ask`: one question about one image."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.cli.answers import print_answer, print_summary
from qzoom.cli.arguments import UsageError, share
from qzoom.cli.model_options import add_length_option, add_model_options, load_model
from qzoom.cli.pngs import check_png_target, write_png
from qzoom.cli.quiet import hush_libraries
from qzoom.cli.terminal import is_terminal

if TYPE_CHECKING:
    from PIL import Image

    from qzoom.cli.arguments import Parser
    from qzoom.zoom.answer import ZoomAnswer
    from qzoom.zoom.options import AskOptions
    from qzoom.zoom.session import ImageSession

_EXAMPLES = """\
examples:
  qzoom ask receipt.png "what is the total?"
  qzoom ask receipt.png "what is the total?" --save-view looked.png
  curl -s https://example.org/chart.png | qzoom ask - "which bar is tallest?" --json
"""


def add_parser(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb."""
    text = "ask a question about an image"
    parser = verbs.add_parser(
        "ask",
        help=text,
        description=text.capitalize() + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", metavar="IMAGE", help="image file, or - for standard input")
    parser.add_argument("question", metavar="QUESTION", help="what to ask")
    _add_output_options(parser)
    _add_zoom_options(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the arguments, read the image, load the model, ask and print."""
    _check(args)
    image = _read_image(args.image)
    hush_libraries()
    session = load_model(args).open(image)
    answer = _ask_and_print(session, args)
    if args.save_view is not None:
        from qzoom.cli.view import render_view

        source = session.images[answer.image_index]
        write_png(render_view(source, args.question, answer), args.save_view)
    if not args.json:
        print_summary(answer)
    return 0


def json_fields(answer: ZoomAnswer) -> dict[str, Any]:
    """What --json prints."""
    return {
        "text": answer.text,
        "zoomed": answer.zoomed,
        "gate_probability": answer.gate_probability,
        "boxes_xyxy_px": [list(box) for box in answer.boxes_xyxy_px],
        "usage": dict(answer.usage),
        "finish_reason": answer.finish_reason,
        "timings_s": dict(answer.timings_s),
    }


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object")
    group.add_argument(
        "--save-view",
        type=Path,
        metavar="OUT.png",
        help="also write a picture of where the model looked",
    )
    add_length_option(group)


def _add_zoom_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("zoom")
    group.add_argument("--direct", action="store_true", help="never look closer")
    group.add_argument(
        "--effort",
        choices=("low", "medium", "high"),
        help="how readily to look closer, on a model that 'qzoom calibrate' gave levels",
    )
    group.add_argument(
        "--gate-threshold",
        type=share,
        metavar="P",
        help="look closer from this gate probability on (default: the model's own)",
    )
    group.add_argument(
        "--roi-threshold",
        type=share,
        metavar="P",
        help="cells above this belong to the region (default: the model's own)",
    )


def _check(args: argparse.Namespace) -> None:
    if not args.question.strip():
        raise UsageError("the question is empty; give the text to ask")
    for name in ("effort", "gate_threshold", "roi_threshold"):
        if args.direct and getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} has no effect with --direct; drop one of them")
    if args.effort is not None and args.gate_threshold is not None:
        raise UsageError("--effort and --gate-threshold both say when to look closer; give one")
    if args.save_view is not None:
        args.save_view = args.save_view.expanduser()
        check_png_target(args.save_view, args.image)


def _read_image(source: str) -> Image.Image:
    # Read before the model is loaded, so that a wrong path fails at once.
    from qzoom.images.decode import decode_image

    if source != "-":
        return decode_image(source)
    if is_terminal(sys.stdin):
        raise UsageError("IMAGE is - but nothing is piped in; pipe an image or give a file")
    return decode_image(sys.stdin.buffer)


def _ask_and_print(session: ImageSession, args: argparse.Namespace) -> ZoomAnswer:
    options: AskOptions = {
        "max_new_tokens": args.max_new_tokens,
        "zoom": "never" if args.direct else "auto",
        "effort": args.effort,
        "gate_threshold": args.gate_threshold,
        "roi_threshold": args.roi_threshold,
    }
    if not args.json:
        return print_answer(session, args.question, options)
    answer = session.ask(args.question, stream=False, **options)
    # Escaped to ASCII, so that the object survives any encoding of the pipe.
    print(json.dumps(json_fields(answer)))
    return answer
