"""Refusals and failures as clients see them: a status, a kind and one line of text."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_SHOWN_PROBLEMS = 3


class ServeError(Exception):
    """A request that is not answered.

    status: of HTTP; kind: as OpenAI names them; retry_after_s: when to come back, if that helps.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        fields = {"message": self.message, "type": self.kind, "param": self.param}
        return {"error": fields | {"code": self.status}}


def busy(message: str = "the queue is full; try again") -> ServeError:
    """A request that came at the wrong moment."""
    return ServeError(503, message, "overloaded_error", retry_after_s=1)


def too_late(seconds: float) -> ServeError:
    """A request that was not answered in time."""
    return ServeError(504, f"not answered within {seconds:g} seconds", "timeout_error")


def internal() -> ServeError:
    """A failure of ours; what it was is in the log alone."""
    return ServeError(500, "the request failed inside the server", "server_error")


def of_validation(error: ValidationError) -> ServeError:
    """What is wrong with a body, by field; values are never echoed."""
    found = error.errors(include_url=False, include_input=False)
    lines = []
    for problem in found[:_SHOWN_PROBLEMS]:
        # A step can be a name that the client made up.
        place = ".".join(ascii(str(step)[:40])[1:-1] for step in problem["loc"][:6]) or "body"
        lines.append(f"{place}: {_said(problem)[:200]}")
    if len(found) > _SHOWN_PROBLEMS:
        lines.append(f"and {len(found) - _SHOWN_PROBLEMS} more")
    param = str(found[0]["loc"][0])[:40] if found and found[0]["loc"] else None
    return ServeError(400, "; ".join(lines), param=param)


def _said(problem: ErrorDetails) -> str:
    # Pydantic's own text for this one quotes what was sent.
    if problem["type"] == "union_tag_invalid":
        return f"'type' should be one of {problem['ctx']['expected_tags']}"
    return problem["msg"]
