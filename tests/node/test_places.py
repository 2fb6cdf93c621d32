"""Backups and archives go where they outlive the node, and a dead file system does not keep it from
starting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config.schema import Backup, Config, Pruning
from node.errors import ConfigError
from node.home import Home
from node.places import check_places, place_outside


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a data directory."""
    made = Home(tmp_path / "home")
    made.data.mkdir(parents=True)
    return made


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory about which no call returns before the test ends."""
    mount, ends, real = tmp_path / "mount", threading.Event(), Path.resolve

    def resolve(path: Path, strict: bool = False) -> Path:
        if path.is_relative_to(mount):
            ends.wait()
        return real(path, strict)

    monkeypatch.setattr(Path, "resolve", resolve)
    monkeypatch.setattr("node.places.PLACE_ANSWER_S", 0.05)
    yield mount
    ends.set()


def configured(backups: object = "", archives: object = "") -> Config:
    """With these directories."""
    return Config(
        backup=Backup(directory=str(backups)),
        pruning=Pruning(archive_directory=str(archives)),
    )


def test_a_place_outside_of_the_data_directory_answers(home: Home, tmp_path: Path) -> None:
    assert place_outside(home, str(tmp_path / "b"), key="KEY") == (tmp_path / "b", True)


@pytest.mark.parametrize("wrong", ["b", "{data}", "{data}/b", "{data}/../data/b", "{link}/b"])
def test_a_place_that_would_go_with_the_node_is_refused_by_its_setting(
    home: Home, tmp_path: Path, wrong: str
) -> None:
    link = tmp_path / "link"
    link.symlink_to(home.data)
    place = wrong.format(data=home.data, link=link)
    with pytest.raises(ConfigError, match=r"backup\.directory"):
        check_places(home, configured(backups=place))
    with pytest.raises(ConfigError, match=r"pruning\.archive_directory"):
        check_places(home, configured(archives=place))


def test_links_in_a_circle_are_no_place(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigError, match="KEY"):
        place_outside(home, str(tmp_path / "a" / "c"), key="KEY")


def test_what_is_no_path_is_no_place(home: Home) -> None:
    with pytest.raises(ConfigError, match="KEY"):
        place_outside(home, "/b\0", key="KEY")


def test_places_that_do_not_answer_are_named_and_wait_for_nobody(
    home: Home, tmp_path: Path, dead: Path
) -> None:
    silent = check_places(home, configured(backups=tmp_path / "b", archives=dead / "old"))
    assert silent == (dead / "old",)


def test_of_a_place_that_does_not_answer_what_is_written_is_looked_at(
    home: Home, dead: Path
) -> None:
    with pytest.raises(ConfigError, match="data directory"):
        place_outside(home, f"{dead}/../home/data/b", key="KEY")


def test_what_is_written_may_name_the_home_by_a_link(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.places._real", lambda _path: None)
    called = Home(tmp_path / "called")
    called.root.symlink_to(home.root)
    with pytest.raises(ConfigError, match="data directory"):
        place_outside(called, str(called.data / "mount"), key="KEY")
