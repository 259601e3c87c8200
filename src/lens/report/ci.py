"""For continuous integration: checks as JUnit XML and as annotations of GitHub, a summary where it asks for one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from lens.errors import FileError

if TYPE_CHECKING:
    from lens.analysis.gates.checks import Check

# GitHub's runner names here the file to which a step appends its summary.
SUMMARY = "GITHUB_STEP_SUMMARY"
_LEVELS = {"failed": "error", "warned": "warning"}


def junit(checks: Sequence[Check], name: str, timestamp: str, *, by: str = "lll analyze") -> bytes:
    """Return a testsuite a kind of check, a testcase a check; as Jenkins, GitLab and GitHub's actions read it.

    timestamp: ISO 8601 without a zone, in UTC. by: the command that checked.
    """
    top = ElementTree.Element("testsuites", {"name": by, **_counts(checks), "time": "0"})
    for suite in dict.fromkeys(check.suite for check in checks):
        mine = [check for check in checks if check.suite == suite]
        about = {"name": suite, **_counts(mine), "time": "0", "timestamp": timestamp, "hostname": "localhost"}
        node = ElementTree.SubElement(top, "testsuite", about)
        for check in mine:
            case = ElementTree.SubElement(
                node, "testcase", classname=_plain(f"lll.{suite}.{name}"), name=_plain(check.name), time="0"
            )
            _result(case, check)
    ElementTree.indent(top)
    written: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _counts(checks: Sequence[Check]) -> dict[str, str]:
    states = [check.state for check in checks]
    return {
        "tests": str(len(states)),
        "failures": str(states.count("failed")),
        "errors": "0",
        "skipped": str(states.count("skipped")),
    }


def _result(case: ElementTree.Element, check: Check) -> None:
    """Add what a testcase has inside; the text of a check that passed is its output."""
    says = _plain(check.says)
    if check.state == "failed":
        ElementTree.SubElement(case, "failure", message=says, type=check.suite).text = says
    elif check.state == "skipped":
        ElementTree.SubElement(case, "skipped", message=says)
    else:
        warned = "warning: " if check.state == "warned" else ""
        ElementTree.SubElement(case, "system-out").text = f"{warned}{says}"


def _plain(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write."""
    return "".join(c if c.isprintable() or c in "\t\n" else " " for c in text)


def github_lines(checks: Sequence[Check]) -> list[str]:
    """Return a line for each check that failed or warns, as GitHub's runner reads them from standard output."""
    return [
        f"::{_LEVELS[check.state]} title={_property(f'{check.suite}: {check.name}')}::{_message(check.says)}"
        for check in checks
        if check.state in _LEVELS
    ]


def _message(text: str) -> str:
    """As the runner unescapes it (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(markdown: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Add to the summary of the step that runs; False where none is asked for.

    Raises:
        FileError: it cannot be written.
    """
    file = environ.get(SUMMARY)
    if not file:
        return False
    try:
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(markdown)
    except OSError as error:
        raise FileError(f"cannot write {SUMMARY} {file}: {error.strerror}") from error
    return True
