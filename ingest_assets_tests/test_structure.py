"""The structure of the package: no module imports, directly or through others, a module that imports it."""

from __future__ import annotations

from collections.abc import Iterable

import grimp


def import_cycles(graph: grimp.ImportGraph, modules: Iterable[str]) -> list[str]:
    """For each of the modules that is in a cycle, the shortest one through its first import that has any."""
    found = []
    for module in sorted(modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if chain := graph.find_shortest_chain(importer=imported, imported=module):
                found.append(" -> ".join((module, *chain)))
                break
    return found


def test_no_import_cycles() -> None:
    at_run_time = grimp.build_graph("ingest_assets", exclude_type_checking_imports=True, cache_dir=None)
    assert import_cycles(at_run_time, at_run_time.modules) == []
    # An import that is only for type checkers still couples two modules. Not all rooms do without them yet.
    all_imports = grimp.build_graph("ingest_assets", cache_dir=None)
    interfaces = all_imports.find_descendants("ingest_assets.interfaces")
    assert len(interfaces) > 40
    assert import_cycles(all_imports, interfaces) == []


def test_a_cycle_is_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")):
        graph.add_import(importer=importer, imported=imported)
    assert import_cycles(graph, graph.modules) == ["b -> c -> b", "c -> b -> c"]
