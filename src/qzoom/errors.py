"""Errors that qzoom raises on purpose: each message is one line that says what is wrong."""


class QZoomError(ValueError):
    """Base of every error that qzoom raises on purpose."""


class ImageError(QZoomError):
    """An image cannot be read, is over a limit, or has a shape that the model cannot take."""


class CheckpointError(QZoomError):
    """A checkpoint is missing, incomplete, or does not fit the model."""


class LabelError(QZoomError):
    """Answers, verdicts or labels cannot be made, or their files cannot be used."""


class PromptError(QZoomError):
    """A prompt does not fit its images, or cannot be encoded."""


class ConfigError(QZoomError):
    """A setting is missing, unknown or out of range."""


class DataError(QZoomError):
    """A data file, record or label is missing, damaged or inconsistent."""
