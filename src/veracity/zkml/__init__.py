"""One argument per graph op, and the statement about a whole execution."""

from veracity.zkml.accounting import Costs, OpCosts, count, count_links, count_ops, model_rows
from veracity.zkml.chain import prove, verify
from veracity.zkml.links import cut_places
from veracity.zkml.model import ModelCommitment, ModelOpening, commit_model
from veracity.zkml.statement import Execution, Statement

__all__ = [
    "Costs",
    "Execution",
    "ModelCommitment",
    "ModelOpening",
    "OpCosts",
    "Statement",
    "commit_model",
    "count",
    "count_links",
    "count_ops",
    "cut_places",
    "model_rows",
    "prove",
    "verify",
]
