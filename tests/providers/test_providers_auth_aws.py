"""AWS: signatures against botocore's, credentials from where people keep them, and their renewal."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from needs import need_module
from waiting import wait_until

from lens.errors import ConfigError, MissingKey
from lens.providers.auth.aws import RenewedCredentials, find_credentials, region_of
from lens.providers.auth.sigv4 import AwsCredentials, signed_headers

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "auth" / "sigv4_vectors.json").read_text())
NOWHERE = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials", "AWS_CONFIG_FILE": "/nowhere/config"}


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_signatures_are_those_of_botocore(vector):
    parts = urlsplit(vector["url"])
    added = signed_headers(
        AwsCredentials(vector["access_key"], vector["secret_key"], vector["session_token"]),
        method=vector["method"],
        host=parts.netloc,
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        headers=vector["headers_in"].items(),
        body=vector["body"].encode(),
        region=vector["region"],
        service=vector["service"],
        now=datetime.strptime(vector["amz_date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    assert dict(added)["Authorization"] == vector["authorization"]


def profile_files(tmp_path):
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKD\naws_secret_access_key = sd\n"
        "[work]\naws_access_key_id = AKW\naws_secret_access_key = sw\naws_session_token = tw\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = us-west-2\n[profile work]\nregion = eu-central-1\n")
    return {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }


def test_credentials_of_the_environment_come_before_those_of_a_profile(tmp_path):
    files = profile_files(tmp_path)
    said = find_credentials(
        {**files, "AWS_ACCESS_KEY_ID": "AKE", "AWS_SECRET_ACCESS_KEY": "se", "AWS_SESSION_TOKEN": "te"},
        whole_chain=False,
    )
    assert (said.access_key, said.reveal(), said.session_token, said.region) == ("AKE", "se", "te", "us-west-2")


def test_credentials_of_a_profile(tmp_path):
    files = profile_files(tmp_path)
    plain = find_credentials(files, whole_chain=False)
    assert (plain.access_key, plain.region) == ("AKD", "us-west-2")
    work = find_credentials({**files, "AWS_PROFILE": "work"}, whole_chain=False)
    assert (work.access_key, work.session_token, work.region) == ("AKW", "tw", "eu-central-1")
    assert region_of({**files, "AWS_REGION": "x"}) == "x"


def test_a_bearer_token_comes_before_all_else():
    assert find_credentials({**NOWHERE, "AWS_BEARER_TOKEN_BEDROCK": "b"}, whole_chain=True).reveal() == "b"


def test_a_broken_profile_file_is_named_and_its_lines_are_not_shown(tmp_path):
    (tmp_path / "credentials").write_text("aws_secret_access_key = hush\n")
    with pytest.raises(ConfigError) as told:
        find_credentials({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}, whole_chain=False)
    assert "not a profile file" in str(told.value)
    assert "hush" not in str(told.value)


class Chain:
    """As botocore's credentials: frozen ones, that change."""

    def __init__(self):
        self.asked = 0

    def get_frozen_credentials(self):
        self.asked += 1
        return SimpleNamespace(access_key=f"AK{self.asked}", secret_key="s", token="t")


def test_expiring_credentials_are_refreshed_in_the_background():
    found = RenewedCredentials(Chain(), "us-east-1")
    assert found.current().access_key == "AK1"
    found._checked_s -= 1000
    assert found.current().access_key == "AK1"
    wait_until(lambda: found.current().access_key != "AK1")
    assert found.current().access_key == "AK2"


def test_credentials_whose_refresh_fails_serve_on():
    class Broken(Chain):
        def get_frozen_credentials(self):
            if self.asked:
                raise OSError("no network")
            return super().get_frozen_credentials()

    found = RenewedCredentials(Broken(), "us-east-1")
    found._checked_s -= 1000
    for _ in range(5):
        assert found.current().access_key == "AK1"
        time.sleep(0.01)


def test_without_botocore_the_chain_says_what_would_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(MissingKey, match="pip install"):
        find_credentials(NOWHERE, whole_chain=True)
    assert find_credentials(NOWHERE, whole_chain=False) is None


@pytest.fixture
def chain(monkeypatch):
    """Botocore's own search, which finds nothing on this machine and asks no other."""
    need_module("botocore.session", "pip install 'llm-latency-lens[bedrock]'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NOWHERE, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("chain")
def test_a_chain_that_finds_nothing_is_an_error_of_the_user():
    with pytest.raises(MissingKey, match="no credentials"):
        find_credentials(NOWHERE, whole_chain=True)


@pytest.mark.usefixtures("chain")
def test_a_profile_that_the_chain_does_not_know_is_named():
    with pytest.raises(MissingKey, match="nobody"):
        find_credentials({**NOWHERE, "AWS_PROFILE": "nobody"}, whole_chain=True)


def test_what_the_chain_finds_signs_requests(chain):
    chain.setenv("AWS_ACCESS_KEY_ID", "AKC")
    chain.setenv("AWS_SECRET_ACCESS_KEY", "sc")
    chain.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    found = find_credentials(NOWHERE, whole_chain=True)
    assert (found.current().access_key, found.region) == ("AKC", "eu-west-1")


def test_a_profile_file_that_never_ends_is_refused():
    with pytest.raises(ConfigError, match="cannot read /dev/zero: it holds more than 64 MB"):
        find_credentials({**NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": "/dev/zero"}, whole_chain=False)
