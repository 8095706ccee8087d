"""Byte counts, rates and durations as people read them."""

GIB = 1 << 30
MIB = 1 << 20


def human_bytes(count: float) -> str:
    """Binary units with two decimals, as the plan writes them: 298189759263 → '277.71 GiB'."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{int(value)} B" if unit == "B" else f"{value:.2f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def human_rate(bytes_per_second: float) -> str:
    """Decimal megabytes per second, the unit of network figures in this project."""
    return f"{bytes_per_second / 1e6:.1f} MB/s"


def human_seconds(seconds: float) -> str:
    """Whole seconds as h:mm:ss, or m:ss under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
