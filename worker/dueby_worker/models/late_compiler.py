"""Let torchvision load without torch's compiler.

torchvision's operators for boxes import a single function of the compiler, to ask it something when they are called,
and so every classifier brings the compiler with it: more than a second of a core and 70 MiB in every worker, of which
only the engine `compile` has a use. Here that function is imported when it is called. Whatever else torchvision should
want of the compiler it gets at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo.utils"


@contextmanager
def compiler_imported_late() -> Iterator[None]:
    """Within, imports of `is_compile_supported` don't load torch's compiler; it is loaded when that is called."""
    if _COMPILER in sys.modules:
        yield
        return
    sys.modules[_COMPILER] = _StandIn(_COMPILER)
    try:
        yield
    finally:
        _remove_stand_in()


class _StandIn(ModuleType):
    @staticmethod
    def is_compile_supported(*arguments: Any) -> Any:
        return import_module(_COMPILER).is_compile_supported(*arguments)

    def __getattr__(self, name: str) -> Any:
        # Whoever goes through all modules asks for these, such as inspect.
        if name.startswith("__"):
            raise AttributeError(name)
        _remove_stand_in()
        return getattr(import_module(_COMPILER), name)


def _remove_stand_in() -> None:
    if isinstance(sys.modules.get(_COMPILER), _StandIn):
        del sys.modules[_COMPILER]
