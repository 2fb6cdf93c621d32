"""Directories outside of the home that an operator named: where backups, archives and copies go.

They may lie on a file system whose server is gone, and then even the question what a path stands
for is never answered. A node has to start all the same.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from node.config.schema import Config
from node.errors import ConfigError
from node.home import Home
from node.limits import PLACE_ANSWER_S


def check_places(home: Home, config: Config) -> tuple[Path, ...]:
    """Whether the places of a configuration may be used, as far as they answer; those that do not.

    Raises ConfigError.
    """
    named = {
        "backup.directory": config.backup.directory,
        "pruning.archive_directory": config.pruning.archive_directory,
    }
    places = [place_outside(home, place, key=key) for key, place in named.items() if place]
    return tuple(place for place, answers in places if not answers)


def place_outside(home: Home, directory: str, *, key: str) -> tuple[Path, bool]:
    """The place, and whether it answers. Raises ConfigError if it is not an absolute path, or if
    what goes there would go with what it is to outlive: into the data directory. `key` names the
    setting.

    Of a place that does not answer, links are not followed: only what is written is looked at.
    """
    path = Path(directory)
    if not path.is_absolute():
        raise ConfigError(f"{key} is {directory}: an absolute path is wanted")
    try:
        real = _real(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{key} is {directory}: {error}") from None
    # The home may be named by a link, which leads elsewhere once it is followed.
    inside = [home.data.resolve(), Path(os.path.normpath(home.data.absolute()))]
    meant = Path(os.path.normpath(path)) if real is None else real
    if any(meant.is_relative_to(data) for data in inside):
        raise ConfigError(f"{key} is {directory}: that is in the data directory")
    return path, real is not None


def _real(path: Path) -> Path | None:
    """The path with all links followed, or None if the file system takes too long to tell.

    The thread that asked is left then: it ends with the answer, or with the process. Raises
    OSError, RuntimeError for links that lead in a circle, and ValueError for what is no path.
    """
    answer: Future[Path] = Future()

    def ask() -> None:
        try:
            answer.set_result(path.resolve())
        except (OSError, RuntimeError, ValueError) as error:
            answer.set_exception(error)

    Thread(target=ask, name="place", daemon=True).start()
    try:
        return answer.result(PLACE_ANSWER_S)
    except TimeoutError:
        return None
