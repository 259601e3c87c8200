"""Keys out of a program's output and out of a keyring; what does not give one is named, never what it printed."""

import os
import shlex
import sys

import pytest
from needs import need_package

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, MissingKey
from lens.providers.auth import stores
from lens.providers.auth.keys import find_key
from lens.providers.registry import get_provider
from lens.secrets import mask_secrets

KEY = "sk-of-the-store-5x7"


def printing(code, *words):
    return shlex.join([sys.executable, "-c", code, *words])


def found(**target):
    key = find_key(TargetConfig(provider="openai", model="m", **target), get_provider("openai"), {})
    return key and key.reveal()


def test_the_first_line_that_a_program_prints_is_the_key():
    assert found(api_key_command=printing(f"print('{KEY}\\nuser: me')")) == KEY
    assert KEY not in mask_secrets(f"said {KEY}")


def test_a_program_is_not_started_again_for_a_while(tmp_path):
    counted = tmp_path / "count"
    command = printing("import sys; open(sys.argv[1], 'a').write('x'); print('sk-counted')", str(counted))
    assert found(api_key_command=command) == found(api_key_command=command) == "sk-counted"
    assert counted.read_text() == "x"


@pytest.mark.parametrize(
    ("command", "error", "says"),
    [
        ("no-such-program-7 x", ConfigError, "no-such-program-7 cannot be started"),
        ("pass 'open", ConfigError, "cannot be read"),
        (" ", ConfigError, "it is empty"),
        (printing("import sys; sys.exit('no such entry')"), MissingKey, "exit code 1: no such entry"),
        (printing("print()"), MissingKey, "printed nothing"),
    ],
)
def test_a_program_that_gives_no_key_is_named_with_what_it_said(command, error, says):
    with pytest.raises(error, match=says):
        found(api_key_command=command)


def test_a_program_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(stores, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(ConfigError, match=r"did not end within 0\.2 s"):
        found(api_key_command=printing("import time; time.sleep(60)"))


@pytest.fixture
def keyring(monkeypatch):
    """A keyring in memory, through the library's own door."""
    need_package("keyring", "pip install 'llm-latency-lens[keyring]'")
    import keyring as library
    from keyring.backend import KeyringBackend

    class InMemory(KeyringBackend):
        priority = 1

        def __init__(self):
            super().__init__()
            self.kept = {}

        def get_password(self, service, username):
            return self.kept.get((service, username))

        def set_password(self, service, username, password):
            self.kept[service, username] = password

    before = library.get_keyring()
    library.set_keyring(InMemory())
    yield library
    library.set_keyring(before)


def test_a_key_is_read_out_of_the_keyring(keyring):
    keyring.set_password("openai", "me", KEY)
    assert found(api_key_keyring="openai/me") == KEY
    with pytest.raises(MissingKey, match="keyring set openai you"):
        found(api_key_keyring="openai/you")
    with pytest.raises(ConfigError, match="service/user"):
        found(api_key_keyring="openai")


def test_a_keyring_that_cannot_be_opened_is_reported(monkeypatch, keyring):
    from keyring.backends.fail import Keyring

    keyring.set_keyring(Keyring())
    with pytest.raises(MissingKey, match="openai/me"):
        found(api_key_keyring="openai/me")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"llm-latency-lens\[keyring\]"):
        found(api_key_keyring="openai/me")


def test_a_command_is_no_part_of_a_run_file():
    from lens import Profiler

    info, _ = Profiler("simulator", "m", api_key_command=f"echo {KEY}", max_tokens=4).run_blocking("hi", iterations=1)
    assert KEY not in str(info.config)
    assert os.environ.get("PATH")
