"""`lll providers` tells what the registry knows."""

import json

from click.testing import CliRunner

from lens.cli.main import lll
from lens.providers.registry import provider_names


def test_every_provider_has_a_line():
    done = CliRunner().invoke(lll, ["providers"])
    assert done.exit_code == 0
    assert [name for name in provider_names() if f"\n{name} " not in "\n" + done.output] == []


def test_what_may_be_chosen_is_reported():
    told = CliRunner().invoke(lll, ["providers"]).output
    assert "also gemini" in told
    assert "--api messages" not in told, "one API is no choice"
    assert "--api converse, invoke\n  of bedrock" in told
    assert "AWS_REGION or --base-url" in told


def test_the_same_as_json():
    done = CliRunner().invoke(lll, ["providers", "--json"])
    rows = {row["name"]: row for row in json.loads(done.output)}
    assert rows["openai"]["key_variables"] == ["OPENAI_API_KEY"]
    assert rows["openai"]["base_url"] == "https://api.openai.com/v1"
    assert "chat" in rows["openai"]["apis"]
