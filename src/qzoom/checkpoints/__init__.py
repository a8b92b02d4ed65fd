"""Reading and writing checkpoints: the published format, plain backbones, our own files."""

from qzoom.checkpoints.load import read_checkpoint
from qzoom.checkpoints.loaded import LoadedCheckpoint
from qzoom.checkpoints.save import save_checkpoint

__all__ = ["LoadedCheckpoint", "read_checkpoint", "save_checkpoint"]
