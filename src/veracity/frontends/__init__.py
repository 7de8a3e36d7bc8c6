"""Model files to programs: GGUF, llama2.c, Hugging Face folders; tokenizers; calibration.

Nothing else reads these formats. Tests of accuracy and benchmarks use the names below.
"""

from veracity.frontends.calibration import accuracy, bundled_text, calibrate_model
from veracity.frontends.files import ProgramFile, load_program_file, save_program_file
from veracity.frontends.paging import PagedWeights
from veracity.frontends.sources import calibrate, import_model
from veracity.frontends.tokenizer import Tokenizer

__all__ = [
    "PagedWeights",
    "ProgramFile",
    "Tokenizer",
    "accuracy",
    "bundled_text",
    "calibrate",
    "calibrate_model",
    "import_model",
    "load_program_file",
    "save_program_file",
]
