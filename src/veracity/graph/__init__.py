"""Fixed-point tensor programs: ports, a closed op set, a canonical digest, an integer meaning."""

from veracity.graph.evaluate import State, Trace, execute
from veracity.graph.port import Output, Port, WeightSpec
from veracity.graph.program import Program

__all__ = ["Output", "Port", "Program", "State", "Trace", "WeightSpec", "execute"]
