"""How numbers are written for people."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as a percentage."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def points(share: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, with its sign (a true minus, so that columns line up)."""
    text = f"{100 * share:+.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def measure(number: float | None, bounded: bool) -> str:
    """A value of a metric: of 0 to 1 in percent, another as it is."""
    return percent(number) if bounded else "-" if number is None else f"{number:.3f}"


def change(difference: float | None, bounded: bool) -> str:
    """A difference of two values of a metric, signed: of 0 to 1 in percentage points."""
    if difference is None:
        return "-"
    return points(difference) if bounded else f"{difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def p_value(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return "-"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def count(value: float | None) -> str:
    """A whole number with separators."""
    return "-" if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def duration(seconds: float | None) -> str:
    """A time span."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def hours(seconds: float | None) -> str:
    """A sum of hours."""
    if seconds is None:
        return "-"
    value = seconds / 3600
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.095 or value == 0 else f"{value:.3f}"


def size(bytes_: float | None) -> str:
    """A number of bytes."""
    if bytes_ is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if bytes_ < 1024:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.1f} GiB"


def value(anything: object) -> str:
    """Any value in a table of settings."""
    if isinstance(anything, bool):
        return "yes" if anything else "no"
    if isinstance(anything, int):
        return f"{anything:,}"
    return f"{anything:g}" if isinstance(anything, float) else str(anything)
