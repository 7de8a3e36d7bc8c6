"""Models by their ids on the Hugging Face hub: ``ORG/NAME`` or ``ORG/NAME@REVISION``."""

from __future__ import annotations

import re
from pathlib import Path

from veracity.errors import UsageError

__all__ = ["fetch_folder", "is_hub_id"]

_ID = re.compile(r"(\w[\w.-]{0,95}/\w[\w.-]{0,95})(?:@([\w./-]{1,128}))?", re.ASCII)
#: Endings of names that are paths, whether they are there or not.
_PATHS = (".gguf", ".bin", ".safetensors", ".onnx", ".vprog", ".json", ".pt")
#: What a model folder is made of; other formats of the same weights are left where they are.
_WANTED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "chat_template.jinja", "adapter_config.json", "*.safetensors",
    "*.safetensors.index.json",
)  # fmt: skip
_LEFT = ("consolidated*", "*/*")


def is_hub_id(source: str) -> bool:
    """Whether a name has the form of an id."""
    return _ID.fullmatch(source) is not None and not source.endswith(_PATHS)


def fetch_folder(source: str) -> tuple[Path, str, str]:
    """Download a model, or find it in the library's cache: its folder, name and exact revision.

    Raises
    ------
    UsageError
        The library is not installed, the hub cannot be reached, or there is no such model.
    """
    found = _ID.fullmatch(source)
    if found is None:
        raise UsageError(f"{source[:80]!r} is no id of a model; write ORG/NAME@REVISION")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UsageError("models of the hub need: pip install 'veracity[hub]'") from error
    try:
        folder = snapshot_download(
            repo_id=found[1],
            revision=found[2],
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_LEFT),
        )
    except Exception as error:  # the library raises errors of several others
        raise UsageError(
            f"cannot fetch {source[:120]} from the hub ({type(error).__name__}); check the name, "
            "the network and your access, or give a folder that is there"
        ) from error
    return Path(folder), found[1], Path(folder).name
