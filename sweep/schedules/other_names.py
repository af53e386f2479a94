"""What torch and other libraries call schedulers and their numbers, and what those are here.

For errors: a name that somebody knows from elsewhere leads to ours. Keras, transformers, timm,
fastai and optax write the same names in their own ways, so that names are compared by what is left
of them without such additions. Of torch's classes, `SHAPES` says which is which; what torch's
arguments do is read by from_torch.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweep.schedules.shapes import SHAPES

_ADDITIONS = re.compile(r"learningrate|lr|scheduler|schedule|withwarmup|annealing|decay|^get|^fit")


def _stem(name: str) -> str:
    """What tells a scheduler's name from others: `cosine` of CosineAnnealingLR."""
    last = name.partition("(")[0].rpartition(".")[2]
    return _ADDITIONS.sub("", _plain(last))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_STEM: Mapping[str, str] = {
    **{_stem(shape.torch_class): name for name, shape in SHAPES.items()},  # LambdaLR: _WITHOUT
    **{_stem(name): name for name in SHAPES},
    **dict.fromkeys(("none", "fixed", "const", "flat"), "constant"),
    **dict.fromkeys(("staircase", "stepwise"), "step"),
    **dict.fromkeys(("piecewise", "piecewiseconstant"), "multistep"),
    **dict.fromkeys(("exp", "expo"), "exponential"),
    **dict.fromkeys(("lin", "warmuplinear", "linearwarmup"), "linear"),
    "poly": "polynomial",
    **dict.fromkeys(("cos", "cosinewithmin", "warmupcosine", "linearwarmupcosine"), "cosine"),
    **dict.fromkeys(
        ("sgdr", "warmrestarts", "cosinewithrestarts", "cosinewithhardrestarts", "cosinerestart"),
        "cosine_restarts",
    ),
    **dict.fromkeys(("triangular", "triangular2", "cyclical"), "cyclic"),
    **dict.fromkeys(("1cycle", "onecyclepolicy", "1cyclepolicy", "cosineonecycle"), "onecycle"),
    **dict.fromkeys(("onplateau", "reduce", "reduceplateau"), "plateau"),
    **dict.fromkeys(("warmupstable", "trapezoidal", "trapezoid"), "wsd"),
    **dict.fromkeys(("noam", "rsqrt", "invsqrt", "inversesquareroot"), "inverse_sqrt"),
    "reflectedexponential": "rex",
}
_CUSTOM = "a formula of your own is a schedule of [custom], or of a loop or a script of your own"
_WITHOUT: Mapping[str, str] = {
    "lambda": _CUSTOM,
    "multiplicative": _CUSTOM,
    "sequential": "a warm-up before any schedule is a number here: warmup = 0.05",
    "chained": "a warm-up before any schedule is a number here: warmup = 0.05",
    "warmup": "a warm-up before any schedule is a number here: warmup = 0.05",
    "swa": "weights are averaged beside any schedule: objective = 'averaged'",
}
"""Those that no schedule here is like, and what to write instead."""
_OF_TORCH = {
    *(shape.torch_class for shape in SHAPES.values()),
    *("PolynomialLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler", "SWALR"),
}


def scheduler_here(name: str) -> str:
    """What a scheduler's name from elsewhere is here, to stand behind an error; empty if unknown.

    `; torch's CosineAnnealingLR is cosine here`.
    """
    stem, word = _stem(name), name.partition("(")[0].rpartition(".")[2]
    called = f"torch's {word}" if word in _OF_TORCH else word
    if stem in _WITHOUT:
        return f"; {called} has no like here: {_WITHOUT[stem]}"
    ours = _BY_STEM.get(stem)
    if ours is None:
        return ""
    warm = ", with warmup beside it" if "warmup" in _plain(name) and ours != "wsd" else ""
    return f"; {called} is {ours} here{warm}"


_LENGTH = "{name}: every schedule here spans the whole training, whose length is epochs"
_FINAL = "{name} is decay here, the final rate / the peak rate: decay = {name} / lr"
_RATIO = "{name} is decay here, the final rate / the peak rate"
_PEAK = "{name} is lr here, the peak rate"
_CYCLES = "{name}: the number of cycles is given here, not their length: cosine_restarts.cycles"
_DROPS = "{name} is drops here, how often the rate drops: step.drops = epochs / step_size - 1"
_MILESTONES = "{name}: multistep.drops here, how often the rate drops, after 1/2, 3/4, 7/8 of all"
_GAMMA = "{name}: decay here, the final rate / the peak rate, gamma ** drops of step and multistep"
_WARMUP = "{name} is warmup here, a share of all steps: 100 of 2000 are 0.05"
_DIVIDED = "{name}: onecycle here begins at lr / 25 and ends at lr * decay"
_SETTINGS: Mapping[str, str] = {
    **dict.fromkeys(("tmax", "totaliters", "totalsteps", "numtrainingsteps"), _LENGTH),
    **dict.fromkeys(("tinitial", "decaysteps", "maxiters"), _LENGTH),
    **dict.fromkeys(("etamin", "minlr", "lrmin", "endlr", "finallr", "lrend", "baselr"), _FINAL),
    **dict.fromkeys(("endlearningrate", "minlearningrate"), _FINAL),
    **dict.fromkeys(("endfactor", "alpha", "minlrratio", "minlrrate"), _RATIO),
    **dict.fromkeys(("maxlr", "lrmax", "peaklr", "initlr", "initiallr", "etamax", "lr0"), _PEAK),
    "learningrate": _PEAK,
    **dict.fromkeys(("t0", "cyclelength", "firstcyclesteps"), _CYCLES),
    **dict.fromkeys(("stepsizeup", "stepsizedown"), _CYCLES.replace("cosine_restarts", "cyclic")),
    **dict.fromkeys(("stepsize", "decayt", "decayepochs"), _DROPS),
    "milestones": _MILESTONES,
    **dict.fromkeys(("gamma", "decayrate"), _GAMMA),
    **dict.fromkeys(("divfactor", "finaldivfactor", "initialdivfactor"), _DIVIDED),
    **dict.fromkeys(("warmupsteps", "numwarmupsteps", "nwarmup", "warmupepochs"), _WARMUP),
    **dict.fromkeys(("warmupratio", "warmupproportion", "warmupt", "warmupiters"), _WARMUP),
}


def setting_here(name: str) -> str:
    """What a scheduler's number from elsewhere is here, to stand behind an error; empty if unknown.

    `; max_lr is lr here, the peak rate`. One of our schedulers' own leads to where it is set.
    """
    told = _SETTINGS.get(_plain(name))
    if told is not None:
        return f"; {told.format(name=name)}"
    owners = [
        f"{shape.name}.{param.name}"
        for shape in SHAPES.values()
        for param in shape.params
        if _plain(param.name) == _plain(name)
    ]
    return f"; {name} is {' or '.join(owners)} here" if owners else ""
