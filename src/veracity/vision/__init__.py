"""Pictures made larger by a network whose runs can be proved."""

from veracity.vision.compare import compare
from veracity.vision.credentials import manifest_definition
from veracity.vision.enhance import TILE, Enhanced, enhance_picture, run
from veracity.vision.folders import Job, find_jobs, is_key
from veracity.vision.foreign import is_foreign, load_foreign

__all__ = [
    "TILE",
    "Enhanced",
    "Job",
    "compare",
    "enhance_picture",
    "find_jobs",
    "is_foreign",
    "is_key",
    "load_foreign",
    "manifest_definition",
    "run",
]
