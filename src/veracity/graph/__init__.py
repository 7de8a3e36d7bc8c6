"""Fixed-point tensor programs: a closed op set, a canonical digest, and their integer meaning."""

from veracity.graph.evaluate import State, Trace, execute, step
from veracity.graph.program import Program, WeightSpec

__all__ = ["Program", "State", "Trace", "WeightSpec", "execute", "step"]
