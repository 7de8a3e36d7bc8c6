"""One argument per graph op, and the statement about a whole execution."""

from veracity.zkml.accounting import Costs, OpCosts, count, count_links, count_ops, model_rows
from veracity.zkml.chain import prove, verify
from veracity.zkml.circuit.build import FEWEST_LONG_ROWS
from veracity.zkml.exact_widths import LIMIT as WIDTHS_LIMIT
from veracity.zkml.exact_widths import prove_widths, verify_widths
from veracity.zkml.links import cut_places
from veracity.zkml.model import ModelCommitment, ModelOpening, commit_model
from veracity.zkml.statement import Execution, Statement
from veracity.zkml.well_formed import prove_well_formed, verify_well_formed

__all__ = [
    "FEWEST_LONG_ROWS",
    "WIDTHS_LIMIT",
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
    "prove_well_formed",
    "prove_widths",
    "verify",
    "verify_well_formed",
    "verify_widths",
]
