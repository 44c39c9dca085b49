"""Search: all accelerators, layouts, types, engines and batches under what is needed; the best, and why not the rest.

>>> from perfmodel import Scenario
>>> space = space_of(Scenario(), gpus=("h100-sxm", "l40s"), groups=(1,), batches=(1, 16, 64))
>>> best = Answer(whole(space), Need(users=100)).offers()[0]
>>> best.combination.gpu, best.devices > 0
('l40s', True)
"""

from perfmodel.search.need import BUSIEST, GOALS, REASONS, Answer, Need, Offer, answered, fleets
from perfmodel.search.space import BATCHES, Combination, Space, listed_chips, priced_chips, space_of
from perfmodel.search.study import Priced, Progress, Study, evaluate, search, whole

__all__ = [
    "BATCHES", "BUSIEST", "GOALS", "REASONS",
    "Answer", "Combination", "Need", "Offer", "Priced", "Progress", "Space", "Study",
    "answered", "evaluate", "fleets", "listed_chips", "priced_chips", "search", "space_of", "whole",
]  # fmt: skip
