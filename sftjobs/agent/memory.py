"""Did the kernel kill for memory? The counter of this container's control group knows."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")


def oom_kills(root: Path = CGROUP, membership: Path = SELF) -> int:
    """How many processes of this control group were killed for memory so far; 0 if nobody counts."""
    for file in _counters(root, membership):
        try:
            fields = dict(line.split(maxsplit=1) for line in file.read_text(encoding="ascii").splitlines() if line)
            return int(fields["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _counters(root: Path, membership: Path) -> list[Path]:
    """Files that may hold the counter: version 2, version 1, and their roots as a container sees them."""
    found = []
    try:
        lines = membership.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found.append(root / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            found.append(root / "memory" / path.lstrip("/") / "memory.oom_control")
    return [*found, root / "memory.events", root / "memory" / "memory.oom_control"]
