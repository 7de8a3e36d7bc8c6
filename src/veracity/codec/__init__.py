"""Bytes and files: bounded and strict when read, complete or absent when written."""

from veracity.codec.encoding import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    canonical_json,
    parse_json,
)
from veracity.codec.files import read_file, sniff
from veracity.codec.output import atomic_output, atomic_outputs, write_file
from veracity.codec.targets import check_target, make_folder, sibling

__all__ = [
    "DIGEST_BYTES",
    "ByteReader",
    "ByteWriter",
    "atomic_output",
    "atomic_outputs",
    "canonical_json",
    "check_target",
    "make_folder",
    "parse_json",
    "read_file",
    "sibling",
    "sniff",
    "write_file",
]
