"""Where the time, the FLOPs, the bytes and the money of a model go on given hardware.

>>> from perfmodel import Scenario, estimate
>>> report = estimate(Scenario(model="llama-3.1-8b", gpu="h100-sxm", batch=16))
>>> report.decode.regime
'memory'
"""

from perfmodel.blocks import parameters
from perfmodel.codec import from_query, from_row
from perfmodel.engine import ENGINES
from perfmodel.estimate import cached_estimate, estimate
from perfmodel.grid import sweep
from perfmodel.hardware import ACCELERATORS, LINKS
from perfmodel.model import MODELS
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.workload import Workload, decode, prefill

__all__ = [
    "ACCELERATORS",
    "ENGINES",
    "LINKS",
    "MODELS",
    "Report",
    "Scenario",
    "Workload",
    "cached_estimate",
    "decode",
    "estimate",
    "from_query",
    "from_row",
    "parameters",
    "prefill",
    "sweep",
]
