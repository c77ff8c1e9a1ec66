"""The decision is pure: what control/decide.py loads reads no clock, and knows neither clients nor asyncio."""

import ast

from support.source_modules import MODULES, Module, loaded_by

# What the decision may not import, in the operator or below it. It is given the time, and does nothing but compute.
DECISION = "dueby_operator.control.decide"
# Rooms of the operator that speak to others.
WITH_CLIENTS = ("dueby_operator.kube", "dueby_operator.gathering")
NOT_IN_DECISION = {
    *("aiohttp", "asyncio", "http", "kopf", "kubernetes", "logging", "os", "random", "socket", "subprocess"),
    *("threading", "time", "urllib"),
}
# It opens nothing: names are quoted with it.
PURE = "urllib.parse"
# datetime turns microseconds into text and back; these ask it for the time.
CLOCKS = {"now", "today", "utcnow"}
# A plan says how long it took to make. This stop-watch decides nothing.
STOP_WATCH = ("dueby_planner.model.plan", "time")


def world_in_decision(modules: tuple[Module, ...]) -> list[str]:
    """Imports that the decision must do without, and clocks that it reads."""
    found = []
    for module in loaded_by(modules, start=(DECISION,)):
        for imported in module.imports:
            name = imported.module.partition(".")[0]
            is_barred = name in NOT_IN_DECISION or imported.module.startswith(WITH_CLIENTS)
            if is_barred and imported.module != PURE and (module.name, name) != STOP_WATCH:
                found.append(f"{module.path}:{imported.line}: the decision may not import {imported.module}")
        for node in module.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
                found.append(f"{module.path}:{node.lineno}: the decision is given the time and reads no clock")
    return found


def test_the_decision_has_no_client_no_clock_and_no_event_loop() -> None:
    assert len(loaded_by(MODULES, start=(DECISION,))) > 50
    found = world_in_decision(MODULES)
    assert not found, "\n" + "\n".join(found)


def test_a_clock_anywhere_below_the_decision_is_noticed() -> None:
    decision = Module(path="operator/dueby_operator/control/decide.py", source="from dueby_planner.x import y")
    clock = Module(path="planner/dueby_planner/x.py", source="def y():\n    import time")
    today = Module(path="planner/dueby_planner/x.py", source="def y():\n    return datetime.now(UTC)")
    client = Module(path="planner/dueby_planner/x.py", source="from dueby_operator.kube import client")
    assert world_in_decision((decision, clock))
    assert world_in_decision((decision, today))
    assert world_in_decision((decision, client))
