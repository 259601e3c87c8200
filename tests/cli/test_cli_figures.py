"""--goodput and --definitions, as people type them."""

from __future__ import annotations

import click
import pytest
from cli_program import lll

from lens.cli.command import Command, with_options
from lens.cli.figures import FIGURES, TOOLS, slos_of
from lens.metrics import tool_definitions


@click.command(cls=Command)
@click.option("-n")
@click.argument("rest", nargs=-1)
@click.pass_context
def nothing(ctx, **_):
    """Only reads its options."""


with_options(FIGURES)(nothing)


@pytest.mark.parametrize(
    ("typed", "slos", "rest"),
    [
        (
            "--goodput ttft:200 tpot:50 e2el:1s -n 3",
            ["ttft_ms <= 200", "tpot_ms <= 50", "total_latency_ms <= 1000"],
            (),
        ),
        ("--goodput=ttft:200 tpot:50", ["ttft_ms <= 200", "tpot_ms <= 50"], ()),
        ("--goodput ttft:200 file.json", ["ttft_ms <= 200"], ("file.json",)),
        ("--goodput ttft:200,tpot:50", ["ttft_ms <= 200", "tpot_ms <= 50"], ()),
        ("--goodput ttft:200 --goodput tpot:50", ["ttft_ms <= 200", "tpot_ms <= 50"], ()),
        ("a:1", [], ("a:1",)),
    ],
)
def test_goodput_takes_the_words_that_follow_it(typed, slos, rest):
    ctx = nothing.make_context("nothing", typed.split())
    assert [str(slo) for slo in slos_of(ctx)] == slos
    assert ctx.params["rest"] == rest


def test_every_tool_can_be_asked_for():
    assert set(TOOLS) == set(tool_definitions.TOOLS)


def test_a_run_is_told_in_the_words_of_other_tools_and_counts_what_kept_its_promise(target):
    tools = [word for name in TOOLS for word in ("--definitions", name)]
    ended = lll("benchmark", *target, "-n", 4, "--goodput", "ttft:5000", "tpot:5000", *tools)
    assert (ended.returncode, ended.stderr) == (0, "")
    for name in TOOLS:
        assert f"as {name} would have said" in ended.stdout
    assert "ours: ttft_from_send_ms" in ended.stdout
    assert "met ttft_ms <= 5000, tpot_ms <= 5000 (100" in " ".join(ended.stdout.split())
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_a_promise_that_is_none_is_told_before_anything_is_sent():
    ended = lll("benchmark", "--provider", "openai", "--goodput", "ttfp:200")
    assert ended.returncode == 2
    assert "did you mean ttft?" in ended.stderr
