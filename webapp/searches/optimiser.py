"""Which settings to try next, and which trials to give up: Optuna, asked and told.

Our rows are the truth. A study lives in memory for one question: it is built anew from the rows, asked, and
forgotten, so that there is no second store that could be lost or disagree. Importing Optuna costs half a
second and some 25 MB, so only the process that sweeps does it, when there is something to ask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from webapp.searches.history import Tried
from webapp.searches.models import Search, Trial
from webapp.searches.space import Dimension, count_of, from_json

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial as Asked

DRAWN_FIRST = 6  # trials at random before TPE has something to learn from
COMPARED_WITH = 3  # finished trials that the median needs before anything is pruned
KEPT = 3  # of so many trials successive halving keeps one
TRIES = 50  # for settings that were not tried before
TOP = 0.25  # importance is what sets this best share apart from the rest
Outcome = Trial.Outcome


@dataclass(frozen=True)
class Verdict:
    """A trial is to be given up."""

    after: int  # epochs
    why: str


def ask(search: Search, tried: Sequence[Tried], number: int) -> dict[str, Any] | None:
    """The settings of the next trial; the same rows give the same answer. None: all were tried."""
    space = from_json(search.space)
    earlier = [one.params for one in tried]
    if (count := count_of(space)) is not None and len({tuple(p.values()) for p in earlier}) >= count:
        return None
    study, distributions = _study(search, number), _distributions(space)
    for one in tried:
        _retell(study, distributions, one)
    params: dict[str, Any] = {}
    for _ in range(TRIES):
        asked = study.ask(distributions)
        params = {d.name: d.rounded(asked.params[d.name]) for d in space}
        if params not in earlier:
            return params
        study.tell(asked, state=_states().FAIL)  # the same settings and seed would give the same run
    return _any_left(space, earlier) or params


def judge(search: Search, tried: Sequence[Tried], number: int, judged: int) -> Verdict | None:
    """Whether to give up a trial, looking at its epochs after the first `judged` ones in turn."""
    mine = next(one for one in tried if one.number == number)
    others = [one for one in tried if one.number != number]
    study, distributions = _study(search, number), _distributions(from_json(search.space))
    for one in others:
        _retell(study, distributions, one)
    study.enqueue_trial(mine.params)
    asked = study.ask(distributions)
    for epoch, figure in sorted(mine.curve.items()):
        asked.report(figure, epoch)
        # Asked also of epochs that were judged: successive halving remembers which rungs were reached.
        if asked.should_prune() and epoch > judged:
            return Verdict(epoch, _in_words(search, mine.until(epoch), others, epoch))
    return None


def importances(search: Search, tried: Sequence[Tried]) -> dict[str, float]:
    """How much of being among the best each setting explains, 0…1, together 1 (PED-ANOVA, Watanabe 2023)."""
    from optuna.importance import PedAnovaImportanceEvaluator

    study, distributions = _study(search, 0), _distributions(from_json(search.space))
    for one in tried:
        _retell(study, distributions, one)
    found = PedAnovaImportanceEvaluator(target_quantile=TOP).evaluate(study)
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}


def load() -> None:
    """Import Optuna now: before a transaction that others would wait for."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


# --- the study ------------------------------------------------------------------------------------


def _study(search: Search, number: int) -> Study:
    import optuna

    load()
    return optuna.create_study(
        direction="maximize" if search.is_maximised else "minimize",
        sampler=_sampler(search, number),
        pruner=_pruner(search),
    )


def _sampler(search: Search, number: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    seed = (search.seed * 100_003 + number) % 2**32  # another draw for each trial, the same when asked again
    if search.chooser == Search.Chooser.RANDOM:
        return RandomSampler(seed=seed)
    # constant_liar: open trials count as bad ones, so that parallel trials do not all try the same.
    return TPESampler(seed=seed, n_startup_trials=DRAWN_FIRST, constant_liar=True)


def _pruner(search: Search) -> BasePruner:
    from optuna.pruners import MedianPruner, NopPruner, SuccessiveHalvingPruner

    grace = max(1, search.grace_epochs)
    match search.pruner:
        case Search.Pruner.MEDIAN:
            return MedianPruner(n_startup_trials=COMPARED_WITH, n_warmup_steps=grace)
        case Search.Pruner.HALVING:
            return SuccessiveHalvingPruner(min_resource=grace, reduction_factor=KEPT)
        case _:
            return NopPruner()


def _distributions(space: Sequence[Dimension]) -> dict[str, BaseDistribution]:
    from optuna import distributions as known

    found: dict[str, BaseDistribution] = {}
    for d in space:
        if d.kind == "choice":
            found[d.name] = known.CategoricalDistribution(d.choices)
        elif d.kind == "int":
            found[d.name] = known.IntDistribution(int(d.low or 0), int(d.high or 0), log=d.log)
        else:
            found[d.name] = known.FloatDistribution(d.low or 0.0, d.high or 0.0, log=d.log)
    return found


def _retell(study: Study, distributions: dict[str, BaseDistribution], one: Tried) -> None:
    """Let a study live through a trial again, by Optuna's own ways."""
    study.enqueue_trial(one.params)
    asked: Asked = study.ask(distributions)
    for epoch, figure in sorted(one.curve.items()):
        if one.pruned_after is None or epoch <= one.pruned_after:
            asked.report(figure, epoch)
            asked.should_prune()  # notes the rungs that it reached; the answer was acted on in its time
    states = _states()
    if one.outcome == Outcome.COMPLETE and one.value is not None:
        study.tell(asked, one.value)
    elif one.outcome == Outcome.PRUNED:
        study.tell(asked, state=states.PRUNED)
    elif one.outcome != Outcome.OPEN:
        study.tell(asked, state=states.FAIL)


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState


def _any_left(space: Sequence[Dimension], earlier: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The first combination that was not tried, where they can be counted."""
    import itertools

    if count_of(space) is None:
        return None
    values = [
        d.choices if d.kind == "choice" else range(int(d.low or 0), int(d.high or 0) + 1) for d in space
    ]
    combined = (
        dict(zip((d.name for d in space), found, strict=True)) for found in itertools.product(*values)
    )
    return next((params for params in combined if params not in earlier), None)


# --- in words -------------------------------------------------------------------------------------


def figure_in_words(objective: str, value: float) -> str:
    """ "61.3 %", or a loss with three decimals."""
    return f"{value:.3f}" if objective == "loss" else f"{100 * value:.1f} %"


def name_in_words(objective: str) -> str:
    """The figure's name within a sentence."""
    words = {"macro_f1": "macro-F1", "mean_class_accuracy": "mean-class accuracy", "loss": "cross-entropy"}
    return words.get(objective, objective)


def _in_words(search: Search, mine: Tried, others: Sequence[Tried], epoch: int) -> str:
    name = name_in_words(search.objective)
    after = f"Pruned after epoch {epoch}"
    figures = [value for value in mine.curve.values() if not math.isnan(value)]
    if not figures:
        return f"{after}: its {name} is not a number."
    best = max(figures) if search.is_maximised else min(figures)
    side = "below" if search.is_maximised else "above"
    if search.pruner == Search.Pruner.MEDIAN:
        compared = [o.curve[epoch] for o in others if o.outcome == Outcome.COMPLETE and epoch in o.curve]
        middle = figure_in_words(search.objective, median(compared)) if compared else "that"
        mine_in_words = figure_in_words(search.objective, best)
        return (
            f"{after}: its best {name} so far, {mine_in_words}, is {side} the median of the {len(compared)} "
            f"finished trials at that epoch, {middle}."
        )
    reached = sum(epoch in other.curve for other in others) + 1
    last = figure_in_words(search.objective, mine.curve[epoch])
    return f"{after}: {last} {name} is not among the best third of the {reached} trials that came so far."
