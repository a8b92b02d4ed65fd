"""`qzoom chat` on the embedded model, with its lines piped in or typed."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import qzoom
from qzoom.cli import chat, main

ROOT = Path(__file__).resolve().parents[2]
RECEIPT = str(ROOT / "examples" / "receipt.png")
STREET = str(ROOT / "examples" / "street.png")
TOTAL = "what is the total?"
SIGN = "what number is on the pink sign?"


@pytest.fixture(scope="module")
def model():
    return qzoom.load()


@pytest.fixture(autouse=True)
def loaded(model, monkeypatch):
    monkeypatch.setattr(qzoom, "load", lambda *_, **__: model, raising=False)


@pytest.fixture
def pipe(monkeypatch, capsys):
    """Runs a chat on piped lines; gives its code, its answers and what it says about them."""

    def run(*lines, images=(RECEIPT,), options=()):
        text = "".join(line + "\n" for line in lines).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
        code = main(["chat", *images, *options])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, answers=out.splitlines(), told=err.splitlines())

    return run


@pytest.fixture
def person(monkeypatch, capsys):
    """Runs a chat with somebody who types lines; an error among them is raised at that moment."""

    def run(*lines):
        typed = iter([*lines, EOFError()])

        def next_line(prompt):
            assert prompt == "> "
            line = next(typed)
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr("builtins.input", next_line)
        monkeypatch.setattr(chat, "is_terminal", lambda stream: stream is not sys.stderr)
        code = main(["chat", RECEIPT])
        out, err = capsys.readouterr()
        assert next(typed, None) is None, "it left before the input ended"
        return SimpleNamespace(code=code, answers=out.splitlines(), told=err.splitlines())

    return run


def expected(model, image, *questions, **options):
    session = model.open([image])
    return [session.ask(question, max_new_tokens=64, **options).text for question in questions]


def test_piped_questions_give_their_answers_and_nothing_else(model, pipe):
    done = pipe(TOTAL, "", "what is the title of the receipt?")
    assert done.answers == expected(model, RECEIPT, TOTAL, "what is the title of the receipt?")
    assert (done.code, done.told) == (0, [])


def test_last_line_needs_no_end_and_windows_ends_are_ends(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"/quit\r\n{TOTAL}"))
    assert main(["chat", RECEIPT]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "stdin", io.StringIO(TOTAL))
    assert main(["chat", RECEIPT]) == 0
    assert capsys.readouterr().out.splitlines() == expected(model, RECEIPT, TOTAL)


def test_several_images_are_opened_together(model, pipe):
    together = model.open([RECEIPT, STREET]).ask(SIGN, max_new_tokens=64).text
    assert pipe(SIGN, images=(RECEIPT, STREET)).answers == [together]


def test_length_is_an_option(pipe):
    short = pipe(TOTAL, "/zoom", TOTAL, options=("--max-new-tokens", "1"))
    assert [len(answer) for answer in short.answers] == [1, 1]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("/direct", {"zoom": "never"}),
        ("/zoom", {"zoom": "always"}),
        ("/effort low", {"effort": "low"}),
        ("/auto", {}),
    ],
)
def test_commands_change_how_the_next_ones_are_asked(pipe, monkeypatch, command, options):
    asked = []
    monkeypatch.setattr(
        "qzoom.cli.conversation.print_answer",
        lambda _, question, how: asked.append((question, dict(how))),
    )
    monkeypatch.setattr("qzoom.cli.conversation.print_summary", lambda _: None)
    assert pipe("/direct", command, TOTAL).code == 0
    assert asked == [(TOTAL, {"max_new_tokens": 64, **options})]


def test_a_bad_line_is_one_line_and_the_others_are_answered(model, pipe):
    lines = ("/nope", "/effort max", "/effort", "/direct now", "/view a.jpg", "/open gone.png")
    done = pipe(*lines, TOTAL)
    assert done.answers == expected(model, RECEIPT, TOTAL)
    assert done.code == 2
    assert done.told == [
        "qzoom: line 1: no command /nope; /help lists them",
        "qzoom: line 2: no effort 'max'; give low, medium, high",
        "qzoom: line 3: write /effort low|medium|high",
        "qzoom: line 4: write /direct",
        "qzoom: line 5: nothing is answered yet; ask something first",
        "qzoom: line 6: no image file at gone.png",
        "qzoom: 6 line(s) of the input failed",
    ]


def test_a_choice_the_model_cannot_follow_changes_nothing(pipe, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "qzoom.cli.conversation.print_answer", lambda _, __, how: asked.append(dict(how))
    )
    monkeypatch.setattr("qzoom.cli.conversation.print_summary", lambda _: None)
    plain = SimpleNamespace(open=lambda _: None, options=_refuse)
    monkeypatch.setattr(qzoom, "load", lambda *_, **__: plain)
    done = pipe("/zoom", TOTAL)
    assert done.told[0] == "qzoom: line 1: a plain backbone"
    assert asked == [{"max_new_tokens": 64}]


def _refuse(**_):
    raise qzoom.errors.ConfigError("a plain backbone")


def test_another_image_can_be_opened(model, pipe):
    done = pipe(TOTAL, f"/open {STREET}", SIGN)
    assert done.answers == [*expected(model, RECEIPT, TOTAL), *expected(model, STREET, SIGN)]
    assert done.told == [f"{STREET} (1024x768 px), asked of qzoom-tiny"]


def test_view_shows_the_last_answer_of_the_open_image(pipe, tmp_path):
    target = tmp_path / "my view.png"
    assert pipe(TOTAL, f"/view {target}").told == [f"wrote {target}"]
    with Image.open(target) as view:
        assert view.format == "PNG"
    done = pipe(TOTAL, f"/open {STREET}", f"/view {tmp_path / 'b.png'}")
    assert "nothing is answered yet" in done.told[1]
    assert [path.name for path in tmp_path.iterdir()] == ["my view.png"]


def test_view_never_overwrites_an_image(pipe, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes((ROOT / "examples" / "receipt.png").read_bytes())
    before = copy.read_bytes()
    assert "the image itself" in pipe(TOTAL, f"/view {copy}", images=(str(copy),)).told[0]
    assert copy.read_bytes() == before


def test_help_says_that_earlier_turns_do_not_count(pipe):
    told = "\n".join(pipe("/help").told)
    assert all(name in told for name in ("/direct", "/effort low|medium|high", "/view OUT.png"))
    assert "without the earlier questions" in told


def test_bytes_that_are_no_text_do_not_end_it(model, monkeypatch, capsys):
    text = b"what \xff is it?\n" + TOTAL.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
    assert main(["chat", RECEIPT]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == expected(model, RECEIPT, TOTAL)


def test_a_person_is_told_what_is_open_and_leaves_with_ctrl_d(model, person):
    done = person(TOTAL, "/nope")
    assert done.code == 0
    assert done.answers == expected(model, RECEIPT, TOTAL)
    assert done.told[0] == f"{RECEIPT} (768x768 px), asked of qzoom-tiny"
    assert done.told[1].startswith("/help")
    assert done.told[2:] == ["no command /nope; /help lists them", ""]


def test_ctrl_c_gives_up_a_line_or_an_answer_and_the_next_is_right(model, person, monkeypatch):
    stopped = []
    plain_ask = chat.import_module("qzoom.cli.conversation").print_answer

    def stop_once(session, question, how):
        if not stopped:
            stream = session.ask(question, stream=True, **how)
            stopped.append(next(stream))
            raise KeyboardInterrupt
        return plain_ask(session, question, how)

    monkeypatch.setattr("qzoom.cli.conversation.print_answer", stop_once)
    done = person(KeyboardInterrupt(), TOTAL, TOTAL)
    assert stopped
    assert done.answers == expected(model, RECEIPT, TOTAL)
    assert done.told[2:] == ["", "stopped", ""]


def test_quit_leaves(monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda _: "/quit")
    monkeypatch.setattr(chat, "is_terminal", lambda _: True)
    assert main(["chat", RECEIPT]) == 0


def test_a_pipe_is_ended_by_ctrl_c(monkeypatch, pipe):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("qzoom.cli.conversation.print_answer", interrupt)
    assert pipe(TOTAL, TOTAL).code == 130


@pytest.mark.parametrize("stdin_is_piped", [True, False])
def test_faults_of_our_own_keep_their_traceback(monkeypatch, stdin_is_piped):
    def fail(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("qzoom.cli.conversation.print_answer", fail)
    monkeypatch.setattr(chat, "is_terminal", lambda _: not stdin_is_piped)
    monkeypatch.setattr("builtins.input", lambda _: TOTAL)
    monkeypatch.setattr(sys, "stdin", io.StringIO(TOTAL))
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["chat", RECEIPT])


def test_a_wrong_path_ends_before_the_model_loads(monkeypatch, capsys):
    monkeypatch.setattr(qzoom, "load", lambda *_, **__: pytest.fail("it was loaded"))
    assert main(["chat", RECEIPT, "gone.png"]) == 2
    assert capsys.readouterr().err == "qzoom: no image file at gone.png\n"


@pytest.mark.parametrize("stdin_is_piped", [True, False])
def test_it_ends_when_nobody_reads_the_answers(monkeypatch, stdin_is_piped):
    def fail(*_):
        raise BrokenPipeError

    monkeypatch.setattr("qzoom.cli._discard_stdout", lambda: None)
    monkeypatch.setattr("qzoom.cli.conversation.print_answer", fail)
    monkeypatch.setattr(chat, "is_terminal", lambda _: not stdin_is_piped)
    monkeypatch.setattr("builtins.input", lambda _: TOTAL)
    monkeypatch.setattr(sys, "stdin", io.StringIO(TOTAL))
    assert main(["chat", RECEIPT]) == 141
