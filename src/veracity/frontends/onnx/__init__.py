"""ONNX files to programs: read, traced in floats, given scales."""

from veracity.frontends.onnx.importing import (
    Traceable,
    check_onnx,
    import_onnx,
    import_traceable,
    open_onnx,
)
from veracity.frontends.onnx.reading import Graph, Node

__all__ = [
    "Graph",
    "Node",
    "Traceable",
    "check_onnx",
    "import_onnx",
    "import_traceable",
    "open_onnx",
]
