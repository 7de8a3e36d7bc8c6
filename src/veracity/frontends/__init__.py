"""Model files to programs: GGUF, llama2.c, Hugging Face folders. Nothing else reads them."""

from veracity.frontends.sources import calibrate, import_model

__all__ = ["calibrate", "import_model"]
