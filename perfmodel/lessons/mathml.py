"""The LaTeX of our equations as MathML, which browsers draw without a network."""

from __future__ import annotations

import re
from html import escape

_TOKEN = re.compile(r"\\[A-Za-z]+|\\[,;!:{}|]|[0-9]+(?:\.[0-9]+)?|\S")
_SIGNS = {
    "cdot": "·", "times": "×", "le": "≤", "ge": "≥", "approx": "≈", "sum": "∑", "infty": "∞", "to": "→", "ll": "≪",
    "Rightarrow": "⇒", "lceil": "⌈", "rceil": "⌉", "propto": "∝", "ne": "≠", "gg": "≫", "pm": "±", "ldots": "…",
}  # fmt: skip
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eta": "η", "kappa": "κ", "lambda": "λ", "mu": "μ",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "omega": "ω",
}  # fmt: skip
_NAMES = ("max", "min", "ln", "log", "exp")
_SPACES = {"quad": "1em", "qquad": "2em", ",": "0.2em", ";": "0.3em", ":": "0.25em", "!": "0em"}
_SILENT = ("left", "right", "bigl", "bigr", "Bigl", "Bigr", "textstyle", "displaystyle")


def mathml(latex: str, *, block: bool = True) -> str:
    r"""Return an equation as a MathML element; raise a `ValueError` that names a command it does not know.

    >>> mathml(r"\frac{p}{F}", block=False)
    '<math><mfrac><mrow><mi>p</mi></mrow><mrow><mi>F</mi></mrow></mfrac></math>'
    """
    parts = _TOKEN.findall(latex.replace(r"\text{", r"\text {"))
    reader = _Reader(latex, _with_texts(latex, parts))
    body = "".join(reader.row())
    return f"<math{' display=' + chr(34) + 'block' + chr(34) if block else ''}>{body}</math>"


def _with_texts(latex: str, parts: list[str]) -> list[str]:
    """Return the tokens, the contents of each text command kept whole."""
    texts = iter(re.findall(r"\\(?:text|mathrm|operatorname)\s*\{([^}]*)\}", latex))
    found: list[str] = []
    index = 0
    while index < len(parts):
        if parts[index] in (r"\text", r"\mathrm", r"\operatorname"):
            found.append("text:" + next(texts))
            index = parts.index("}", index) + 1
        else:
            found.append(parts[index])
            index += 1
    return found


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, latex: str, tokens: list[str]) -> None:
        self.latex, self.tokens, self.at = latex, tokens, 0

    def row(self, end: str = "") -> list[str]:
        """Read until the end or the closing brace, scripts attached to what stands before them."""
        found: list[str] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token == end:
                self.at += 1
                break
            if token in "_^":
                found.append(self._script(found.pop() if found else "<mi></mi>"))
            else:
                found.append(self.one())
        return found

    def _script(self, base: str) -> str:
        scripts: dict[str, str] = {}
        while self.at < len(self.tokens) and self.tokens[self.at] in "_^":
            sign = self.tokens[self.at]
            self.at += 1
            scripts[sign] = self.one()
        if len(scripts) == 2:
            return f"<msubsup>{base}{scripts['_']}{scripts['^']}</msubsup>"
        kind, content = ("sub", scripts["_"]) if "_" in scripts else ("sup", scripts["^"])
        return f"<m{kind}>{base}{content}</m{kind}>"

    def one(self) -> str:
        """Read one token or one group."""
        token = self.tokens[self.at]
        self.at += 1
        if token == "{":
            return f"<mrow>{''.join(self.row('}'))}</mrow>"
        if token.startswith("text:"):
            return f"<mtext>{escape(token[5:])}</mtext>"
        if token.startswith("\\"):
            return self._command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        return f"<mi>{token}</mi>" if token.isalpha() else f"<mo>{escape({'-': '−', '*': '∗'}.get(token, token))}</mo>"

    def _command(self, name: str) -> str:
        if name in ("frac", "dfrac"):
            return f"<mfrac>{self.one()}{self.one()}</mfrac>"
        if name == "sqrt":
            return f"<msqrt>{self.one()}</msqrt>"
        if name in ("bar", "tilde"):
            return f"<mover>{self.one()}<mo>{'¯' if name == 'bar' else '~'}</mo></mover>"
        if name in _SIGNS:
            return f"<mo>{_SIGNS[name]}</mo>"
        if name in _GREEK:
            return f"<mi>{_GREEK[name]}</mi>"
        if name in _NAMES:
            return f'<mo lspace="0.1em" rspace="0.15em">{name}</mo>'
        if name in _SPACES:
            return f'<mspace width="{_SPACES[name]}"/>'
        if name in _SILENT:
            return ""
        if name in "{}|":
            return f"<mo>{name}</mo>"
        raise ValueError(f"\\{name} in {self.latex!r} has no MathML here; add it to perfmodel/lessons/mathml.py")
