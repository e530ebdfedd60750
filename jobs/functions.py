"""Functions as jobs: by what path a worker finds them, and which arguments fit."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from .exceptions import InvalidArguments, InvalidFunction

#: `Job.func` holds so many characters.
MAX_PATH_LENGTH = 255

#: What to do instead of making a job of a generator.
LOOP_OVER_IT = "make the job a function that loops over it."

AnyCallable = Callable[..., Any]


#: Each makes a function of something that can't be called but stands for one, or returns None.
adapters: list[Callable[[Any], AnyCallable | None]] = []


def adapted(target: Any) -> AnyCallable | None:
    """Return the function for which `target`, which can't be called, stands; or None."""
    return next((found for adapt in adapters if (found := adapt(target)) is not None), None)


def resolve(path: str) -> AnyCallable:
    """Import and return what stands at the dotted `path`, a function.

    Raises whatever the import raises; ImportError or AttributeError when there is nothing, and
    TypeError when what is there can't be called.
    """
    module, _, name = path.rpartition(".")
    # What it nearly always is; resolve_name would first try to import the function as a module.
    target = getattr(sys.modules.get(module), name, None)
    if target is None:
        try:
            target = pkgutil.resolve_name(path)
        except ValueError as error:
            raise ImportError(f"{path!r} is not a dotted path") from error
    if callable(target):
        return target
    if (function := adapted(target)) is None:
        raise TypeError(f"{path!r} is a {type(target).__name__}, not a function")
    return function


def resolve_fresh(path: str) -> AnyCallable:
    """Do as `resolve`, but also see modules that were put on disk since the last try."""
    importlib.invalidate_caches()
    return resolve(path)


def resolve_for_enqueue(path: str) -> AnyCallable:
    """Import the function at `path`, or raise InvalidFunction that names it and the remedy."""
    if len(path) > MAX_PATH_LENGTH:
        raise InvalidFunction(f"{path[:50]}… is longer than {MAX_PATH_LENGTH} characters.")
    try:
        target = resolve(path)
    except (Exception, SystemExit) as error:  # importing runs foreign code
        raise InvalidFunction(
            f"{path!r} can't be imported ({type(error).__name__}: {error}). Give the dotted path "
            "of a function at the top level of a module, or the function itself."
        ) from error
    inner = getattr(target, "func", target)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise InvalidFunction(
            f"{path!r} is a generator: calling it runs nothing of it; {LOOP_OVER_IT}"
        )
    return target


def identify(target: AnyCallable | str) -> tuple[AnyCallable, str]:
    """Return a function, given itself or its path, and the path under which workers find it."""
    if isinstance(target, str):
        return resolve_for_enqueue(target), target
    if not callable(target) and (function := adapted(target)) is not None:
        return function, path_of(getattr(function, "func", function))
    return target, path_of(target)


def path_of(func: AnyCallable) -> str:
    """Return the dotted path under which a worker will find `func`.

    Raises InvalidFunction for lambdas, nested functions, bound methods, functions of `__main__`
    and whatever else the path would not lead back to.
    """
    try:
        return _path_of(func)
    except TypeError:  # it can't be hashed, so it is no function
        raise InvalidFunction(f"{func!r} is not a function at the top level of a module.") from None


@lru_cache(maxsize=4096)
def _path_of(func: AnyCallable) -> str:
    module, name = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if not module or not name or "<" in name:
        raise InvalidFunction(
            f"{func!r} has no importable path; a job must be a function at the top level of a module."
        )
    path = f"{module}.{name}"
    if module == "__main__":
        raise InvalidFunction(
            f"{path!r} lives in the script that was started, where no worker finds it; "
            "move it to a module."
        )
    found = resolve_for_enqueue(path)
    if found is not func and getattr(found, "func", None) is not func:
        raise InvalidFunction(
            f"{path!r} leads to {found!r}, not to the function given; "
            "a job must be a function at the top level of a module."
        )
    return path


@lru_cache(maxsize=4096)
def _signature(func: AnyCallable) -> inspect.Signature | None:
    try:
        return inspect.signature(func)
    except (TypeError, ValueError):  # some built-ins don't tell
        return None


@lru_cache(maxsize=4096)
def parameter_names(func: AnyCallable) -> Mapping[int, str]:
    """Return the names of the positional parameters by position, for error messages."""
    signature = _signature(func)
    if signature is None:
        return {}
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in signature.parameters.values() if p.kind in positional]
    return dict(enumerate(names))


@lru_cache(maxsize=4096)
def positional_names(func: AnyCallable) -> tuple[Mapping[int, str], str]:
    """Return the positional parameters' names by position, and the name of `*rest` or ""."""
    signature = _signature(func)
    parameters = signature.parameters.values() if signature else ()
    rest = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL]
    return parameter_names(func), rest[0] if rest else ""


def check_call(
    path: str, func: AnyCallable, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Raise InvalidArguments if `func(*args, **kwargs)` does not fit its signature."""
    signature = _signature(func)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidArguments(f"{path}{signature} can't be called so: {error}.") from None
