"""Speculative decoding: something cheap drafts a few tokens, the model verifies them all in one pass.

A round is gamma passes of the draft and one pass of the model over gamma + 1 tokens; it gives
`formulas.speculation.expected_tokens`. The draft shares the chips, the engine and the precision of the model, reads the
prompt as well, and keeps a cache of its own. The engine schedules and samples once per round.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from perfmodel.dimensions import Dimensions
from perfmodel.formulas.speculation import expected_tokens
from perfmodel.formulas.types import Real
from perfmodel.model import MODELS, Model, custom_model
from perfmodel.ops import Group, Op, Pass

#: Drafts that are no model of the catalogue: none at all, tokens copied from the text so far, one more layer.
NONE, NGRAM, MTP = "none", "ngram", "mtp"
DRAFTS = {
    NONE: "None: one token a step",
    NGRAM: "n-gram: copied from the text so far",
    MTP: "MTP or EAGLE: one more layer",
}


@dataclass(frozen=True)
class Speculation:
    """How tokens are drafted: `tokens` per round, accepted with the chance `accept`.

    `model`: what drafts, None where a lookup does. `shared`: it is a prediction head, which has embedding and LM head
    in common with the model and reads the last hidden state beside the embedding. `tp`, `ep`: its devices.
    """

    tokens: int
    accept: Real
    model: Model | None = None
    shared: bool = False
    tp: int = 1
    ep: int = 1

    @property
    def rows(self) -> float:
        """Tokens of one sequence that a verification computes, and needs logits of."""
        return self.tokens + 1.0

    @property
    def tokens_per_round(self) -> Real:
        """Tokens that a round gives on average."""
        return expected_tokens(self.accept, self.tokens)

    def joined(self, run: Pass) -> tuple[Op, ...]:
        """Return the product that takes the hidden state and the embedding of the next token together."""
        if not self.shared or self.model is None:
            return ()
        hidden = self.model.dimensions.hidden
        return (run.matmul("joined_input", Group.PROJECTIONS, 2.0 * hidden, hidden / run.tp),)

    @property
    def joined_weights(self) -> float:
        """Parameters of that product."""
        return 2.0 * self.model.dimensions.hidden**2 if self.shared and self.model else 0.0


def speculation(draft: str, tokens: int, accept: float, model: Model, tp: int, ep: int) -> Speculation | None:
    """Return how the fields of a scenario draft; None when nothing is drafted."""
    if draft == NONE or not tokens:
        return None
    if draft == NGRAM:
        return Speculation(tokens, accept)
    drafting = prediction_head(model) if draft == MTP else MODELS[draft]
    width = draft_width(drafting.dimensions, tp)
    spread = ep if draft == MTP and width == tp else 1
    return Speculation(tokens, accept, drafting, draft == MTP, width, spread)


def draft_width(d: Dimensions, tp: int) -> int:
    """Return over how many devices of a tensor-parallel group the draft spreads: as many as its heads allow."""
    fits = (w for w in range(tp, 0, -1) if tp % w == 0 and not d.heads % w and (d.kv_lora or _groups(d.kv_heads, w)))
    return next(fits, 1)


def _groups(kv_heads: int, width: int) -> bool:
    return not kv_heads or max(kv_heads, width) % min(kv_heads, width) == 0


@lru_cache(maxsize=64)
def prediction_head(model: Model) -> Model:
    """Return one more layer of the model, of the kind of its last, as multi-token prediction and EAGLE add it."""
    d = model.dimensions
    mixer, ffn = d.pattern()[-1]
    one = {"layers": 1, "mixers": mixer, "ffns": ffn, "dense_layers": 0, "shared_kv_layers": 0}
    return custom_model(d.model_copy(update=one), f"{model.name} prediction head")
