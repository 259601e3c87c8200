"""No option of a command that reads run files is ignored: of every pair each has its effect, or the pair is refused.

In process, on files of a few requests: all that a command prints, writes and returns is compared with the same where
one of the two is left out. Doctor is compared by what it would ask.
"""

from __future__ import annotations

from importlib import import_module
from itertools import combinations

import click
import msgspec
import pytest
from click.testing import CliRunner
from handmade import INFO, MS, START, failed_record, record, stamps

from lens.cli.command import Option
from lens.cli.main import COMMANDS
from lens.errors import LensError
from lens.history.write import write_run
from lens.integrations.testbench import report_of
from lens.metrics.builder import read_table
from lens.model import Usage

# A value of each option that is not its default; of those that are not here, one is found by its type.
VALUES = {
    "--where": "ttft_ms > 105", "--by": "kind", "--metrics": "ttft_p50,goodput_rps,total_cost",
    "--metric": "total_cost", "--anomalies": "0",
    "--sql": "select request_id, status, total_cost from runs",
    "--threshold": "ttft_p50<1", "--threshold-ttft": "1", "--threshold-tps": "1000000", "--sla": "interactive",
    "--baseline": "{before}", "--tolerance": "1%", "--goodput": "ttft:110", "--output": "{out}/page",
    "--junit": "{out}/gates.xml", "--markdown": "{out}/page.md", "--price": "in=1,out=2", "--prices": "plan",
    "--config": "{config}", "--title": "A title", "--suite": "nightly",
}  # fmt: skip
# What one option needs before it can have an effect.
PARTNERS = {"--tolerance": "--baseline", "--junit": "--threshold", "--by": "--metrics"}
# How much is logged; and what only allows a file to be replaced.
APART = {"--help", "--help-all", "--log-level", "--force"}


def name_of(option):
    return next((name for name in option.opts if name.startswith("--")), option.opts[0])


def requests(slower):
    """Requests whose times grow by these shares, one of another kind each, and two that stand out."""
    made = []
    for number, share in enumerate([*slower, 0]):
        start, first = START + number * 200 * MS, 9000 if number == len(slower) else (100 + number) * (1 + share)
        at = stamps(start, send_start=40, send_end=41, first_byte=first - 10, end=first + 40)
        labels = {"kind": "a" if number % 2 else "b"}
        made.append(
            record((first, first + 10, first + 20), index=number, stamps=at, labels=labels, request_id=f"r{number}",
                   usage=Usage(input_tokens=420000, output_tokens=3), model="gpt-5")
        )  # fmt: skip
    failed = failed_record(request_id="refused", index=len(made), labels={"kind": "a"}, model="gpt-5")
    return [*made, failed]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    write_run(folder / "run.jsonl", INFO, requests([0.2, *[0.03] * 39]))
    write_run(folder / "before.jsonl", msgspec.structs.replace(INFO, run_id="b"), requests([0] * 40))
    (folder / "config.toml").write_text('thresholds = ["ttft_p50<2"]\n')
    (folder / "out").mkdir()
    table, _ = read_table(folder / "run.jsonl")
    report_of(table, test_suite_id="nightly").write(folder / "suite.json")
    return folder


def words_of(option, places):
    if option.is_flag:
        return [name_of(option)]
    value = VALUES.get(name_of(option))
    if value is None and isinstance(option.type, click.Choice):
        value = option.type.choices[-1]
    return [name_of(option), (value or "3").format(**places)]


def effect_of(command, words, out):
    """All that a command prints, writes and returns; None where it refuses what it is asked."""
    try:
        ended = CliRunner().invoke(command, words, standalone_mode=False, obj={}, catch_exceptions=False)
    except (click.UsageError, LensError):
        return None
    finally:
        written = {path.name: path.read_bytes() for path in out.iterdir()}
        for path in out.iterdir():
            path.unlink()
    return ended.return_value, ended.stdout, ended.stderr, written


class Walk:
    """The effects of sets of options of one command, each tried once."""

    def __init__(self, command, arguments, folder):
        self.command, self.out = command, folder / "out"
        self.arguments = [str(folder / one) if "." in one else one for one in arguments]
        self.places = {"out": str(self.out), "before": folder / "before.jsonl", "config": folder / "config.toml"}
        self.by_name = {name_of(o): o for o in command.params if isinstance(o, Option) and name_of(o) not in APART}
        self.known = {}

    def effect(self, options):
        key = tuple(sorted(options))
        if key not in self.known:
            words = [word for option in key for word in words_of(self.by_name[option], self.places)]
            self.known[key] = effect_of(self.command, [*self.arguments, *words], self.out)
        return self.known[key]

    def needed(self, option):
        partner = PARTNERS.get(option)
        return {option, *self.needed(partner)} if partner in self.by_name else {option}

    def ignored(self, options):
        """Those of some options that change nothing beside the others."""
        both = set().union(*map(self.needed, options))
        whole = self.effect(both)
        meant = [one for one in options if one not in {PARTNERS.get(o) for o in both - {one}}]
        return [one for one in meant if whole is not None and self.effect(both - {one}) == whole]


@pytest.fixture
def walk(files, monkeypatch):
    monkeypatch.chdir(files / "out")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(files / "out" / "summary.md"))

    def of(name, *arguments):
        module, _, attribute = COMMANDS[name.split()[0]][0].partition(":")
        command = getattr(import_module(module), attribute)
        for sub in name.split()[1:]:
            command = command.commands[sub]
        return Walk(command, arguments, files)

    return of


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("analyze", ["run.jsonl"]),
        ("report", ["run.jsonl"]),
        ("explain", ["total_cost", "run.jsonl"]),
        ("explain", ["goodput_rps", "run.jsonl"]),
    ],
)
def test_each_of_two_options_has_its_effect_or_the_pair_is_refused(name, arguments, walk):
    found = walk(name, *arguments)
    pairs = combinations(found.by_name, 2)
    assert {f"{one} in {' '.join(pair)}" for pair in pairs for one in found.ignored(pair)} == set()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("analyze", ["run.jsonl"]),
        ("report", ["run.jsonl"]),
        ("explain", ["ttft_ms"]),
        ("explain", ["ttft_ms", "run.jsonl"]),
        ("explain", ["total_cost", "run.jsonl"]),
        ("testbench report", ["run.jsonl"]),
        ("testbench report", ["suite.json"]),
        ("testbench trends", ["suite.json"]),
        ("testbench trends", ["run.jsonl"]),
    ],
)
def test_an_option_has_an_effect_or_is_refused(name, arguments, walk):
    found = walk(name, *arguments)
    assert {one for one in found.by_name for _ in found.ignored([one])} == set()
    assert found.effect([]) is not None


@pytest.mark.parametrize("name", ["analyze", "report", "testbench report"])
def test_force_is_refused_where_no_file_is_named_and_else_replaces(name, walk):
    found = walk(name, "run.jsonl")
    page = found.out / "page"
    assert effect_of(found.command, [*found.arguments, "--force"], found.out) is None or name == "report"
    page.write_text("of before")
    assert effect_of(found.command, [*found.arguments, "--output", str(page)], found.out) is None
    page.write_text("of before")
    replaced = effect_of(found.command, [*found.arguments, "--output", str(page), "--force"], found.out)
    assert b"of before" not in replaced[3]["page"]


@pytest.mark.parametrize("name", ["analyze", "testbench report", "compare"])
def test_a_saved_run_cannot_be_ended(name, walk, files):
    """`abort` of a typed threshold is refused where the run is over; that of a config is for the runs made with it."""
    found = walk(name, *["run.jsonl", "before.jsonl"][: 2 if name == "compare" else 1])
    with pytest.raises(LensError, match="a saved run is over; leave out abort"):
        found.command.main([*found.arguments, "--threshold", "ttft_p95<1", "abort=3s"], standalone_mode=False, obj={})
    (files / "aborts.toml").write_text('thresholds = ["ttft_p50<2 abort=3s"]\n')
    if name != "testbench report":
        words = [*found.arguments, "--config", str(files / "aborts.toml")]
        assert effect_of(found.command, words, found.out)[0] == 3
