"""One argument per graph op, and the statement about a whole execution."""

from veracity.zkml.argument import prove, verify
from veracity.zkml.model import ModelCommitment, ModelOpening, commit_model

__all__ = ["ModelCommitment", "ModelOpening", "commit_model", "prove", "verify"]
