"""Where settings come from, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from virshmanagerd import config
from virshmanagerd.config import Config, ConfigError


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"port": "0"}, "port"),
        ({"port": "65536"}, "port"),
        ({"port": "http"}, "port"),
        ({"port": ""}, "port"),
        ({"listen": "localhost"}, "listen"),
        ({"listen": ""}, "listen"),
        ({"uri": " "}, "uri"),
        ({"state_dir": "var"}, "absolute"),
        ({"join_file": "join.json"}, "absolute"),
        ({"machine_id_file": "/x"}, "no setting"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as error:
        config.load(arguments, {}, tmp_path / "none")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("the command line: ")


@pytest.mark.parametrize(
    "text", ["port = ", "port = true", "port = 1.5", "colour = 'red'", "[port]", "uri = 3"]
)
def test_a_mistake_in_the_file_names_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "daemon.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=str(file)):
        config.load({}, {}, file)


def test_a_mistake_in_the_environment_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="environment"):
        config.load({}, {"VIRSHMANAGERD_PROT": "1"}, tmp_path / "none")


def test_defaults(tmp_path: Path) -> None:
    assert config.load({}, {"HOME": "/root"}, tmp_path / "none") == Config()


def test_the_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "daemon.toml"
    file.write_text('port = 1\nlisten = "::1"\nuri = "test:///default"\n')
    found = config.load(
        {"listen": "127.0.0.1"}, {"VIRSHMANAGERD_PORT": "2", "VIRSHMANAGERD_LISTEN": "::"}, file
    )
    assert (found.port, found.listen, found.uri) == (2, "127.0.0.1", "test:///default")
    assert isinstance(config.load({"state_dir": "/tmp/x"}, {}, file).state_dir, Path)  # noqa: S108
