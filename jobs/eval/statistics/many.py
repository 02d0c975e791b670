"""Several tests at once."""

from collections.abc import Sequence

from scipy import stats


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of many slices (Benjamini and Hochberg 1995): the share of false alarms among those shown."""
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(list(p_values))]
