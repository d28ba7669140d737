"""The transport that `--transport` names: imported, since who types the command names it."""

from __future__ import annotations

import inspect
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TypeGuard

from adapters.cli.outcome import CommandError
from adapters.drivers.performers import is_awaited
from adapters.transport import Transport
from runtime_core.traits import ServiceTraits


def load_transport(named: str) -> Transport:
    """Import a module and take a transport from it.

    Args:
        named: ``MODULE:NAME``, a transport or what gives one when it is called without arguments;
            the module is also looked for in the current directory, as ``python -m`` does.

    Raises:
        CommandError: if there is none.
    """
    module_name, colon, name = named.partition(":")
    if not (colon and module_name and name):
        raise CommandError(f"--transport wants MODULE:NAME, for instance mine:bus, not {named!r}.")
    found: object = _module(module_name)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise CommandError(f"The module {module_name!r} has no {name!r}.") from None
    # A class has the names of a transport as well.
    if inspect.isclass(found) or not _is_transport(found, named):
        found = _made(named, found)
    if is_awaited(found):
        raise CommandError(f"{named} is awaited: the command line is for transports that block.")
    if _is_transport(found, named):
        return found
    raise CommandError(
        f"{named} gives one {type(found).__name__}, and that is no transport: it needs traits, "
        "perform and stream."
    )


def _is_transport(found: object, named: str) -> TypeGuard[Transport]:
    try:
        return isinstance(found, Transport) and isinstance(found.traits, ServiceTraits)
    except Exception as error:  # of a property
        what = f"{type(error).__name__}: {error}".rstrip(": .")
        raise CommandError(f"{named} does not tell its traits: {what}.") from error


def _module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        # What the module itself imports may be missing, too.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise CommandError(
                f"There is no module {error.name!r} here, nor where Python looks for modules."
            ) from error
        raise CommandError(f"The module {name!r} cannot be imported: {error}.") from error
    except (Exception, SystemExit) as error:  # whatever stands in it
        what = f"{type(error).__name__}: {error}".rstrip(": .")
        raise CommandError(f"The module {name!r} cannot be imported: {what}.") from error


def _made(named: str, maker: object) -> object:
    if not callable(maker):
        return maker
    try:
        return maker()
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".rstrip(": .")
        raise CommandError(f"{named} could not be called: {what}.") from error
