"""Serving under load: traffic, scheduling, queues, percentiles; a simulation to check them against."""

from perfmodel.serving.lengths import PRESETS, Lengths, Mix, from_csv
from perfmodel.serving.service import PREFIX_HOMES, SCHEDULES, Replica, Service, replica, unit
from perfmodel.serving.simulate import Simulated, simulate
from perfmodel.serving.steady import Load, capacity, load

__all__ = [
    "PREFIX_HOMES", "PRESETS", "SCHEDULES",
    "Lengths", "Load", "Mix", "Replica", "Service", "Simulated",
    "capacity", "from_csv", "load", "replica", "simulate", "unit",
]  # fmt: skip
