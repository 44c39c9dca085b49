"""The software around the kernels: fusion, tracing, compilation, CUDA graphs, a leaner host."""

from __future__ import annotations

from typing import Any

from perfmodel.cures.cure import Change, Cure, do, no
from perfmodel.engine import ENGINES, Engine
from perfmodel.estimate import cached_estimate
from perfmodel.scenario import Scenario
from perfmodel.units import show

#: Runtimes whose step costs little beyond its kernels, and whose chips they run on.
LEAN = {"tensorrt-llm": ("nvidia",), "gpt-fast": ("nvidia", "amd")}


def _kernels(s: Scenario) -> dict[str, Any]:
    """Return the attention kernel as it is now, where another engine would bring one of its own."""
    kernels = cached_estimate(s).setup.kernels
    name = "split" if kernels.split_kv else "flash" if kernels.flash else "unfused"
    return {"attention": name}


def _launches(engine: Engine, better: Engine) -> str:
    """Return why launches are no reason to change the engine, "" if they are."""
    if not engine.host_s:
        return f"{engine.name} launches nothing one by one: there is no host time to save"
    if not engine.host_s > better.host_s:
        return f"{engine.name} spends {show(engine.host_s, 's')} of host time on a launch already"
    return ""


def fused(s: Scenario) -> Change:
    """Merge element-wise work and projections into fewer kernels, one graph per step."""
    own = s.resolved_engine.kernels
    if own.fused_elementwise and own.fused_qkv:
        return no(f"{s.resolved_engine.name} fuses its kernels already")
    return do("engine profile: fused kernels", engine="fused", attention="engine")


def traced(s: Scenario) -> Change:
    """Replay a recorded graph of the same kernels without Python."""
    now, better = s.resolved_engine, ENGINES["traced"]
    if why := _launches(now, better):
        return no(why)
    if now.kernels.fused_elementwise:
        return no(f"{now.name} is compiled: there is no Python left to remove")
    return do("engine profile: traced graph", engine="traced", **_kernels(s))


def compiled(s: Scenario) -> Change:
    """Compile the model: fused element-wise kernels, launched by generated code."""
    now, better = s.resolved_engine, ENGINES["compiled"]
    if now.kernels.fused_elementwise:
        return no(f"{now.name} is compiled or fused already")
    if why := _launches(now, better):
        return no(why)
    return do("engine profile: compiled graph", engine="compiled", **_kernels(s))


def graphs(s: Scenario) -> Change:
    """Record the launches of a step once and replay them as one."""
    now = s.resolved_engine
    if not now.host_s:
        return no(f"{now.name} launches nothing one by one: a step is one graph already")
    if s.resolved_gpu.kind != "gpu":
        return no(f"{s.resolved_gpu.name} is no GPU")
    target = "fused" if now.kernels.fused_elementwise else "graphed"
    return do(f"engine profile: {ENGINES[target].name}", engine=target, **_kernels(s))


def lean(s: Scenario) -> Change:
    """Run the same kernels from a runtime that schedules in less time."""
    now = s.resolved_engine
    for better in (ENGINES[name] for name, vendors in LEAN.items() if s.resolved_gpu.vendor.lower() in vendors):
        same = (better.kernels, better.continuous) == (now.kernels, now.continuous)
        if same and better.step_s < now.step_s:
            said = f"{better.name}: {show(better.step_s, 's')} instead of {show(now.step_s, 's')} around a step"
            return do(said, engine=better.id)
    return no(f"no profile runs the kernels of {now.name} with less than its {show(now.step_s, 's')} around a step")


CURES = (
    Cure("fuse", "Fused kernels", "memory", "none; an engine that knows the model", fused),
    Cure("trace", "Tracing (AOT)", "overhead", "none; fixed shapes, no data-dependent branches", traced),
    Cure("compile", "Compilation (JIT)", "overhead", "none; every new shape compiles for seconds to minutes", compiled),
    Cure("graphs", "CUDA graphs", "overhead", "none; one graph per batch size, with memory of its own", graphs),
    Cure("lean", "A leaner host", "overhead", "none; another serving stack", lean),
)
