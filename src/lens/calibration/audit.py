"""What of this machine touches a measurement: its clock, its timers, its processors, its limits.

Only what the system tells without privileges; what it does not tell is left out, never guessed.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from lens._core.clock import resolution_ns

# Fewer open files than this, and a thousand streams may not all get a connection.
FEWEST_FILES = 4096
# Of a processor's time, taken by the host for others.
MOST_STEAL = 0.01
COARSE_NS = 1_000


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    value: str
    doubt: str = ""  # what it does to figures, and what would help; empty: nothing


def conditions(proc: Path = Path("/proc"), system: Path = Path("/sys")) -> Iterator[Condition]:
    """Yield every condition that can be found; the folders are those of the system."""
    for look in _LOOKS:
        found = look(proc, system)
        if found is not None:
            yield found


def _clock(_: Path, system: Path) -> Condition | None:
    source = _read(system / "devices/system/clocksource/clocksource0/current_clocksource")
    resolution = resolution_ns()
    doubt = ""
    if source in ("hpet", "acpi_pm", "jiffies"):
        doubt = f"reading {source} takes a microsecond or more; boot with clocksource=tsc where the processor has it"
    elif resolution > COARSE_NS:
        doubt = f"the clock moves in steps of {resolution} ns: nothing finer can be told"
    return Condition(name="clock", value=f"{source or 'not told'}, {resolution} ns fine", doubt=doubt)


def _slack(proc: Path, _: Path) -> Condition | None:
    slack = _read(proc / "self/timerslack_ns")
    if not slack.isdigit():
        return None
    # Runs ask for 1 ns themselves; what is shown here is what they start from.
    return Condition(name="timers", value=f"slack {int(slack):,} ns before a run asks for 1 ns")


def _governor(_: Path, system: Path) -> Condition | None:
    paths = system.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    governors = {_read(path) for path in paths} - {""}
    if not governors:
        return None
    slow = governors & {"powersave", "ondemand", "conservative", "schedutil"}
    doubt = "processors change their speed: the first answers after a pause are slower; set the governor to performance"
    return Condition(name="governor", value=", ".join(sorted(governors)), doubt=doubt if slow else "")


def _steal(proc: Path, _: Path) -> Condition | None:
    first = _read(proc / "stat").partition("\n")[0]
    times = [int(part) for part in first.split()[1:] if part.isdigit()]
    if len(times) < 8 or not sum(times[:8]):
        return None
    share = times[7] / sum(times[:8])
    doubt = "the host gives this machine's processors to others: tails are partly theirs; use a host of one's own"
    return Condition(name="steal", value=f"{share:.2%} since it started", doubt=doubt if share > MOST_STEAL else "")


def _load(proc: Path, _: Path) -> Condition | None:
    said = _read(proc / "loadavg").split()
    processors = os.cpu_count() or 1
    try:
        load = float(said[0])
    except (IndexError, ValueError):
        return None
    doubt = "others work on this machine now: stop them, or measure when it is idle"
    return Condition(
        name="load", value=f"{load:g} on {processors} processors", doubt=doubt if load > processors else ""
    )


def _files(_: Path, __: Path) -> Condition | None:
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Condition(name="files", value="no limit")
    doubt = f"so many streams at most; raise it with `ulimit -n` (up to {hard:,} here)" if soft < FEWEST_FILES else ""
    return Condition(name="files", value=f"{soft:,} open at most", doubt=doubt)


def _offloads(_: Path, system: Path) -> Condition | None:
    """Segments that a card or the kernel joins have the stamp of the last."""
    joined = []
    for interface in sorted(system.glob("class/net/*")):
        flush = _read(interface / "gro_flush_timeout")
        if flush.isdigit() and int(flush) > 0:
            joined.append(f"{interface.name} {int(flush):,} ns")
    if not joined:
        return Condition(name="offload", value="segments are not held back")
    doubt = "segments wait to be joined: tokens that come closer than that have one stamp; set gro_flush_timeout to 0"
    return Condition(name="offload", value=", ".join(joined), doubt=doubt)


def _collector(_: Path, __: Path) -> Condition | None:
    state = "on" if gc.isenabled() else "off"
    return Condition(name="garbage", value=f"collector {state}; off while a run measures")


_LOOKS: tuple[Callable[[Path, Path], Condition | None], ...] = (
    _clock,
    _slack,
    _governor,
    _steal,
    _load,
    _files,
    _offloads,
    _collector,
)


def _read(path: Path) -> str:
    """Return a small file of the system; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
