"""What the comparison found, in plain English."""

from collections.abc import Mapping
from typing import Any

from jobs.eval.statistics.base import fewest_wins
from jobs.eval.words import FEW
from sftjobs.spec.words import listed

BASELINES = {
    "likelihood": "the base model's most likely label",
    "few_shot": "the base model with examples in its prompt",
    "classic": "TF-IDF and logistic regression",
}


def in_words(result: Mapping[str, Any], confidence: float) -> str:
    """The verdict on one pair as a sentence."""
    before, after = result["before"], result["after"]
    if result["seeds"] > 1:
        after = f"{after} (mean of {result['seeds']} seeds)"
    if result["verdict"] != "no difference shown":
        text = f"{after} is {result['verdict']} than {before}: {figures(result, confidence)}"
    else:
        text = (
            f"no difference shown between {before} and {after}: {figures(result, confidence)}; "
            f"{can_show(result, confidence)}"
        )
    if result["left_out"]:
        text += f"; {_examples(result['left_out'])} without a score left out"
    return text


def figures(result: Mapping[str, Any], confidence: float) -> str:
    """`+45.5 points (95 % interval +37.9 to +52.9, p < 0.0001)`."""
    low, high = (signed(result[name], result["bounded"]) for name in ("low", "high"))
    difference = f"{signed(result['difference'], result['bounded'])}{unit(result['bounded'])}"
    return f"{difference} ({100 * confidence:g} % interval {low} to {high}, {p_text(result['p'])})"


def can_show(result: Mapping[str, Any], confidence: float) -> str:
    """What the test set could have shown."""
    n, least = result["n"], fewest_wins(confidence)
    if n < least:
        told = f"{_examples(n)} cannot show any difference, however large"
        return f"{told}: at least {least} are needed, better some hundred"
    size = f"{100 * result['detectable']:.1f}" if result["bounded"] else f"{result['detectable']:.3f}"
    if n < FEW:
        return f"with {_examples(n)} nothing can be concluded about differences below {size}{unit(result['bounded'])}"
    return f"this test set of {_examples(n)} can show differences of about {size}{unit(result['bounded'])}"


def covers(seeds: int) -> str:
    """What the interval covers."""
    if seeds == 1:
        return "the choice of held-out examples only: one training seed"
    text = f"the choice of held-out examples and of the training seed ({seeds} seeds)"
    if seeds == 2:
        text += "; two seeds say little about how much the seed matters, so it is wide: a third would narrow it"
    return text


def over_all_seeds(seeds: Mapping[str, Any], bounded: bool) -> str:
    """Values of the models of all seeds."""
    spread = f"{100 * seeds['spread']:.1f} points" if bounded else f"{seeds['spread']:.3f}"
    low, high, mean = (value(seeds[name], bounded) for name in ("low", "high", "mean"))
    return f"{len(seeds['values'])} training seeds: {low} to {high}, mean {mean}, standard deviation {spread}"


def conclusion(comparison: Mapping[str, Any]) -> str:
    """The outcome as a manager reads it: better than the base, than each baseline, than the previous run?"""
    pairs = {pair["before"]: pair for pair in comparison["pairs"]}
    base = pairs["base"]
    level = f"{100 * comparison['confidence']:g} %"
    low, high = (signed(base[name], base["bounded"]) for name in ("low", "high"))
    told = [
        f"{_against('The tuned model', 'the base model', base)}: {comparison['metric']} {_values(base)} on "
        f"{_examples(base['n'])} that were held out",
        f"The difference is {signed(base['difference'], base['bounded'])}{unit(base['bounded'])}; {level} interval "
        f"{low} to {high}, which covers {base['covers']}",
    ]
    if base["verdict"] == "no difference shown":
        shown = can_show(base, comparison["confidence"])
        told.append(shown[0].upper() + shown[1:])
    told += _plans(comparison.get("plans"))
    told += [*_baselines([pairs[name] for name in BASELINES if name in pairs]), *_previous(pairs.get("previous"))]
    if comparison.get("not_compared"):
        told += [f"Not compared with {name}: {why}" for name, why in comparison["not_compared"].items()]
    told += comparison.get("notes", [])
    return ". ".join(told) + "."


def _against(after: str, before: str, pair: Mapping[str, Any]) -> str:
    if pair["verdict"] == "no difference shown":
        return f"{after} is not shown to be better or worse than {before}"
    return f"{after} is {pair['verdict']} than {before}"


def _values(pair: Mapping[str, Any]) -> str:
    """`87.5 % against 42.0 %`."""
    return " against ".join(value(pair[name], pair["bounded"]) for name in ("value_after", "value_before"))


def _baselines(pairs: list[Mapping[str, Any]]) -> list[str]:
    beaten = [pair for pair in pairs if pair["verdict"] == "better"]
    told = []
    if beaten:
        every = "every baseline" if len(beaten) == len(pairs) > 1 else "the baseline"
        names = ", ".join(f"{pair['before']} ({value(pair['value_before'], pair['bounded'])})" for pair in beaten)
        told.append(f"It beats {every} {names}" if len(beaten) == len(pairs) else f"It beats {names}")
    as_good = [pair for pair in pairs if pair["verdict"] == "no difference shown"]
    better = [pair for pair in pairs if pair["verdict"] == "worse"]
    against = []
    if as_good:
        has, are = ("has", "the baseline is") if len(as_good) == 1 else ("have", "they are")
        shown = f"which {has} {_their_values(as_good)}: as far as this test set shows, {are} as good"
        against.append(f"it does not beat {_names(as_good)}, {shown}")
    if better:
        against.append(f"{_names(better)} {'is' if len(better) == 1 else 'are'} better: {_their_values(better)}")
    return [*told, f"But {'; and '.join(against)}"] if against else told


def _names(pairs: list[Mapping[str, Any]]) -> str:
    """`the baseline classic (TF-IDF and logistic regression)`."""
    named = (f"{pair['before']} ({BASELINES[pair['before']]})" for pair in pairs)
    return f"the baseline{'s' if len(pairs) > 1 else ''} {listed(named, 'and')}"


def _their_values(pairs: list[Mapping[str, Any]]) -> str:
    return listed((value(pair["value_before"], pair["bounded"]) for pair in pairs), "and")


def _plans(plans: Mapping[str, Any] | None) -> list[str]:
    """Whether another way to train on the tasks did better than the one that made the tuned model."""
    if plans is None:
        return []
    return [
        _against(f"Plan {name}", f"plan {plans['tuned']}, which made the tuned model", pair)
        for name, pair in plans["to_tuned"].items()
    ]


def _previous(pair: Mapping[str, Any] | None) -> list[str]:
    if pair is None:
        return []
    text = f"{_against('It', 'the previous model', pair)}: {_values(pair)}"
    fallen = pair["regression_count"]
    if fallen:
        text += f"; {_examples(fallen)} went worse"
    return [text]


def value(number: float, bounded: bool) -> str:
    """A value of the metric: in percent if it is a share."""
    return f"{100 * number:.1f} %" if bounded else f"{number:.3f}"


def signed(difference: float, bounded: bool) -> str:
    """A difference with its sign: of shares in percentage points."""
    return f"{100 * difference:+.1f}" if bounded else f"{difference:+.3f}"


def unit(bounded: bool) -> str:
    return " points" if bounded else ""


def p_text(p: float) -> str:
    """A p-value as people write it."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def _examples(count: int) -> str:
    return f"{count:,} example{'' if count == 1 else 's'}"
