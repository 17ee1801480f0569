"""Find a user's function: first in the pipeline's folder, then among what is installed."""

import difflib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from adutora.errors import ConfigError
from adutora.runtime.user_code import is_under


def load_function(target: str, folder: Path) -> Callable[..., Any]:
    """Return the function `module:function`; call it inside `importing_from(folder)`.

    Raises ConfigError if the module or function is not there, does not parse, or is hidden by another module.
    What else a module raises while it is imported is passed on.
    """
    module_name, _, name = target.partition(":")
    module = _import(module_name, folder)
    function = getattr(module, name, None)
    if function is None:
        near = difflib.get_close_matches(name, [item for item in vars(module) if not item.startswith("_")], n=1)
        raise ConfigError(
            f"module {module_name} ({module.__file__}) has no function {name}",
            hint=f"did you mean {near[0]}?" if near else None,
        )
    if not callable(function):
        raise ConfigError(f"{target} is a {type(function).__name__}, no function")
    found: Callable[..., Any] = function
    return found


def _import(name: str, folder: Path) -> ModuleType:
    top = name.partition(".")[0]
    loaded = sys.modules.get(top)
    beside = [path for path in (folder / f"{top}.py", folder / top / "__init__.py") if path.is_file()]
    if loaded is not None and beside and not is_under(loaded, folder):
        raise ConfigError(f"{beside[0]} has the name of the module {top}, which Python has loaded", hint="rename it")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _not_found(name, folder) from None
        raise ConfigError(
            f"module {name} imports {error.name}, which is not installed",
            hint="install it beside Adutora, or in the image",
        ) from error
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from None


def _not_found(name: str, folder: Path) -> ConfigError:
    here = sorted(path.stem for path in folder.glob("*.py")) if folder.is_dir() else []
    near = difflib.get_close_matches(name, here, n=1)
    hint = f"did you mean {near[0]}?" if near else f"modules there: {', '.join(here[:10]) or 'none'}"
    return ConfigError(f"there is no module {name} in {folder}, nor an installed one", hint=hint)
