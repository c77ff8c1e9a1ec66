"""The standard library beneath DueBy's code, simulated: time, threads, chance, connections and the disk of a store.

Nothing of DueBy is changed. Its modules are loaded as they are, and what they import is looked up here first: their
`time` is virtual, their threads are simulated ones, their HTTP client talks to a simulated API server. So the operator
and the workers run whole, and whatever they do is decided by a seed. It is what madsim does for programs in Rust.

A few modules of DueBy stand for devices, and are replaced as such (devices.py): the network of a model, a decoder of
images, the client of an object store, the solver that is a process of its own.

Import anything of this package before anything of DueBy; a process does either this or real things.
"""

import builtins
import datetime
import importlib
import importlib.util
import os
import random
import secrets
import sys
import types
import uuid
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import Any

from support.world import threads
from support.world.scheduler import World

SIMULATED = ("dueby_operator", "dueby_worker", "dueby_planner")
"""The packages whose standard library is simulated."""
_replaced: dict[str, types.ModuleType] = {}
"""What is imported in place of a module, by its name."""
_tables: dict[str, Mapping[str, object]] = {}
"""What stands in for modules of DueBy, by their name."""
_parts: dict[str, Mapping[str, object]] = {}
"""What stands in for some things of a module, which is loaded as it is otherwise."""
_mutations: dict[str, tuple[str, str]] = {}
"""A text of a module of DueBy and what it is replaced by, to see that the simulation finds the bug."""


class Datetime(datetime.datetime):
    """A time of the virtual clock."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Datetime":
        """Return the virtual time."""
        return cls.fromtimestamp(World.current.now_us / 1e6, tz)


def module_of(name: str, contents: Mapping[str, object], *, beneath: types.ModuleType | None = None) -> Any:
    """Return a module with these contents, and for all else those of the one beneath it."""
    made = types.ModuleType(name)
    if beneath is not None:
        made.__dict__.update({key: value for key, value in vars(beneath).items() if not key.startswith("__")})
    made.__dict__.update(contents)
    return made


def _copy(name: str) -> types.ModuleType:
    """Return the standard library's own module, loaded again on what is simulated."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(name)
    made = types.ModuleType(name)
    made.__package__ = name.rpartition(".")[0]
    made.__dict__["__builtins__"] = _simulated_builtins()
    exec(compile(SourceFileLoader(name, spec.origin).get_data(spec.origin), spec.origin, "exec"), made.__dict__)
    return made


def replace_modules(modules: Mapping[str, types.ModuleType]) -> None:
    """Have DueBy import these in place of what has their names."""
    _replaced.update(modules)


def replace_devices(tables: Mapping[str, Mapping[str, object]]) -> None:
    """Have these stand in for modules of DueBy that are about devices."""
    _tables.update(tables)


def replace_parts(tables: Mapping[str, Mapping[str, object]]) -> None:
    """Have these stand in for some things of modules."""
    _parts.update(tables)


def mutate(module: str, text: str, replacement: str) -> None:
    """Have a module of DueBy loaded with a bug."""
    _mutations[module] = text, replacement


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    if level == 0 and name in _replaced:
        return _replaced[name] if fromlist else _replaced[name.partition(".")[0]]
    return builtins.__import__(name, globals, locals, fromlist or (), level)


def _simulated_builtins() -> dict[str, object]:
    return {**vars(builtins), "__import__": _import}


class _DeviceLoader(Loader):
    """Makes a module of a table."""

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__.update(_tables[module.__name__])


class _SimulatedLoader(SourceFileLoader):
    """Loads a module of DueBy as it is, with another `import`."""

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__["__builtins__"] = _simulated_builtins()
        super().exec_module(module)
        module.__dict__.update(_parts.get(module.__name__, {}))

    def get_code(self, fullname: str) -> types.CodeType | None:
        if fullname not in _mutations:
            return super().get_code(fullname)
        text, replacement = _mutations[fullname]
        source = self.get_data(self.path).decode()
        if text not in source:
            raise ImportError(f"{fullname} has no {text!r} to be mutated")
        return compile(source.replace(text, replacement), self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds DueBy's modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in SIMULATED:
            return None
        if fullname in _tables:
            return ModuleSpec(fullname, _DeviceLoader())
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _SimulatedLoader(fullname, spec.loader.path)
        return spec


def install() -> None:
    """Simulate from now on what DueBy imports. Raise ImportError if something real of it is there already."""
    if real := sorted(name for name in sys.modules if name.partition(".")[0] in SIMULATED):
        raise ImportError(f"{real[0]} is loaded already, with the real standard library; use a process of its own")
    sys.meta_path.insert(0, _Finder())
    _replaced["threading"] = module_of("threading", threads.THREADING)
    _replaced["time"] = module_of("time", threads.TIME)
    _replaced["random"] = module_of("random", {"Random": threads.random_of}, beneath=random)
    _replaced["datetime"] = module_of("datetime", {"datetime": Datetime}, beneath=datetime)
    chance = threads.ProgramChance()
    _replaced["secrets"] = module_of(
        "secrets", {"token_hex": lambda size=32: f"{chance.getrandbits(8 * size):0{2 * size}x}"}, beneath=secrets
    )
    _replaced["uuid"] = module_of(
        "uuid", {"uuid4": lambda: uuid.UUID(int=chance.getrandbits(128), version=4)}, beneath=uuid
    )
    # Its queue in C waits for real; without that, the module has one in Python.
    _replaced["_queue"] = module_of("_queue", {"Empty": importlib.import_module("queue").Empty})
    _replaced["queue"] = _copy("queue")
    _replaced["os"] = module_of("os", {"cpu_count": os.cpu_count})  # no hooks for forks
    futures = _copy("concurrent.futures._base")
    _replaced["concurrent.futures._base"] = futures
    package = module_of("concurrent.futures", {"_base": futures}, beneath=futures)
    _replaced["concurrent.futures"] = package
    _replaced["concurrent"] = module_of("concurrent", {"futures": package})
    package.ThreadPoolExecutor = _copy("concurrent.futures.thread").__dict__["ThreadPoolExecutor"]
    del _replaced["os"]
