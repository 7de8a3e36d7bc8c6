"""Circles among modules."""

from __future__ import annotations

from collections.abc import Mapping, Set


def circle(graph: Mapping[str, Set[str]]) -> list[str]:
    """A circle of dependencies, its first module again at the end; empty where there is none."""
    done: set[str] = set()
    for start in sorted(graph):
        if start in done:
            continue
        path = [start]
        branches = [iter(sorted(graph[start]))]
        while path:
            following = next(branches[-1], None)
            if following is None:
                done.add(path.pop())
                branches.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following in graph and following not in done:
                path.append(following)
                branches.append(iter(sorted(graph[following])))
    return []
