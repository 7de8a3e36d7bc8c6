"""ONNX files to programs: read, traced in floats, given scales."""

from veracity.frontends.onnx.importing import check_onnx, import_onnx, open_onnx

__all__ = ["check_onnx", "import_onnx", "open_onnx"]
