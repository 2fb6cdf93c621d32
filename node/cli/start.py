"""`medquorum start`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from node.cli.config import load_home
from node.cli.options import home_option, passphrase_option
from node.cli.preflight import check_ports, needs_passphrase
from node.cli.sdnotify import Watchdog, ask_readiness
from node.cli.secret import passphrase_for_opening
from node.config.schema import Config, keys
from node.daemon import run_daemon
from node.home import Home
from node.logs import configure
from node.run import Endpoints

_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound


def config_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Every key of the configuration as an option, e.g. --p2p.port."""
    # Options are shown in the reverse order of their decoration.
    for key in reversed(keys()):
        command = click.option(
            f"--{key.path}",
            _variable(key.path),
            metavar="LIST" if isinstance(key.default, tuple) else "VALUE",
            help=key.description,
        )(command)
    return command


def _variable(path: str) -> str:
    return path.replace(".", "__")


@click.command
@home_option
@passphrase_option
@config_flags
def start(home: Path, passphrase_file: Path | None, **flags: str | None) -> int:
    """Run the node in the foreground until SIGTERM or SIGINT; a second one ends it at once.

    Every key of the configuration is a flag, and a flag beats the environment, which beats the
    file. Exit codes: 0 stopped, 65 corruption or fork, 70 bug, 73 disk low, 75 temporary, 78
    configuration or identity.
    """
    place = Home(home)
    given = {key.path: value for key in keys() if (value := flags[_variable(key.path)]) is not None}
    loaded = load_home(place, given)
    config = loaded.config
    encrypted = needs_passphrase(place, config)
    check_ports(config)
    passphrase = passphrase_for_opening(passphrase_file) if encrypted else None
    base = config.base
    log = configure(base.log_level, base.log_format, base.moniker)
    watchdogs: list[Watchdog] = []
    # More than once if the node starts again, on a chain that takes the place of its own.
    bound: list[Endpoints] = []

    def ready(endpoints: Endpoints) -> None:
        log.info("ready", port=endpoints.rpc)
        bound.append(endpoints)
        if not watchdogs:
            watchdogs.append(_watch(config, lambda: bound[-1]))

    try:
        return run_daemon(place, loaded, passphrase=passphrase, log=log, ready=ready)
    finally:
        for watchdog in watchdogs:
            watchdog.stop()


def _watch(config: Config, endpoints: Callable[[], Endpoints]) -> Watchdog:
    host = "localhost" if config.ops.host in _ANY_ADDRESS else config.ops.host
    watchdog = Watchdog(os.environ, lambda: ask_readiness(host, endpoints().ops))
    watchdog.ready()
    return watchdog
