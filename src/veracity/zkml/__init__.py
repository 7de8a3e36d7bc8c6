"""One argument per graph op, and the statement about a whole execution."""

from veracity.zkml.accounting import Costs, count
from veracity.zkml.argument import prove, verify
from veracity.zkml.model import ModelCommitment, ModelOpening, commit_model

__all__ = ["Costs", "ModelCommitment", "ModelOpening", "commit_model", "count", "prove", "verify"]
