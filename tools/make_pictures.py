"""Make the pictures of the documentation: what commands print, as SVG.

Usage: python tools/make_pictures.py [NAME ...]; each is run against the built-in simulator. Nothing is drawn by hand.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent.parent / "docs" / "images"
WIDTH = 80
SIMULATED = ["--provider", "simulator", "-H", "x-lens-script: ttft=120ms,itl=8ms,jitter=4ms,tokens=60"]
COMMANDS = {
    "benchmark": ["benchmark", *SIMULATED, "-n", "200", "-c", "8", "--price", "in=0.15,out=0.60", "--ui", "none"],
    "profile": ["profile", *SIMULATED, "--price", "in=0.15,out=0.60"],
}
# A picture loads no font from elsewhere.
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
# The text of an answer is the simulator's; it teaches nothing.
ANSWER = re.compile(r"\n[^\n]*\btext {9}.*", re.DOTALL)


def printed(words: list[str]) -> str:
    """Return what a command prints to a terminal that has colours."""
    environ = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "lens", *words], capture_output=True, text=True, env=environ, check=True
    )
    return ANSWER.sub("", done.stdout)


def picture(title: str, text: str) -> str:
    """Return terminal output as an SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(text), soft_wrap=True)
    return FONT_FACE.sub("", console.export_svg(title=title, unique_id="lll"))


def main(names: list[str]) -> None:
    """Write the pictures of these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or COMMANDS:
        shown = " ".join(
            f"'{word}'" if " " in word else word for word in COMMANDS[name] if word not in ("--ui", "none")
        )
        (FOLDER / f"{name}.svg").write_text(picture(f"lll {shown.split(' -H ')[0]} ...", printed(COMMANDS[name])))


if __name__ == "__main__":
    main(sys.argv[1:])
