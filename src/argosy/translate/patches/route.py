"""ROUTE_CONFIGURATION, VIRTUAL_HOST, HTTP_ROUTE."""

from __future__ import annotations

from functools import partial

from envoy.config.route.v3 import route_pb2
from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost

from argosy.model.envoy_patches import EnvoyPatch, Operation, Part, RouteMatch
from argosy.translate import parts
from argosy.translate.patches.merge import merge
from argosy.translate.patches.run import Run, place
from argosy.translate.patches.subject import Subject
from argosy.translate.patches.values import PatchError, keeps_name, shared_value, value


def apply(out: route_pb2.RouteConfiguration, run: Run) -> bool:
    for index, patch in run.of(Part.ROUTE_CONFIGURATION):
        if patch.operation is Operation.MERGE:
            with run.making(index):
                more = shared_value(patch, route_pb2.RouteConfiguration)
                name, joined = out.name, parts.whole(out.name)
                keeps_name(joined, more.name)
                merge(out, more)
                out.name = name  # of a part, which answers to the name of the whole
    if run.of(Part.VIRTUAL_HOST) or run.of(Part.HTTP_ROUTE):
        kept = [host for host in out.virtual_hosts if apply_to_host(host, run)]
        for index, patch in run.of(Part.VIRTUAL_HOST):
            if patch.operation is Operation.ADD:
                with run.making(index):
                    kept.append(value(patch, VirtualHost))
        del out.virtual_hosts[:]
        out.virtual_hosts.extend(kept)
    return True


def apply_to_host(host: VirtualHost, run: Run) -> bool:
    """All but ADD of virtual hosts. False: it is removed."""
    for index, patch in run.of(Part.VIRTUAL_HOST):
        if not _is_host(host, patch, run.subject):
            continue
        match patch.operation:
            case Operation.REMOVE:
                run.applied.add(index)
                return False
            case Operation.MERGE:
                with run.making(index):
                    merge(host, shared_value(patch, VirtualHost))
            case Operation.REPLACE:
                with run.making(index):
                    host.CopyFrom(shared_value(patch, VirtualHost))
            case _:
                pass
    patches = [
        (index, patch) for index, patch in run.of(Part.HTTP_ROUTE) if _is_host(host, patch, run.subject)
    ]
    if patches:
        _apply_to_routes(host, patches, run)
    return True


def _apply_to_routes(host: VirtualHost, patches: list[tuple[int, EnvoyPatch]], run: Run) -> None:
    """Facts (Istio): each route is merged or removed first; then others come."""
    routes = [route for route in host.routes if _apply_to_route(route, patches, run)]
    for index, patch in patches:
        if patch.operation in (Operation.MERGE, Operation.REMOVE, Operation.REPLACE):
            continue
        with run.making(index):
            match = _route_match(patch)
            fits = partial(_is_route, match) if match is not None else None
            if patch.operation is Operation.INSERT_FIRST and fits and not any(map(fits, routes)):
                placed = None  # the route that it names must be there, and it goes before all of them
            else:
                placed = place(routes, patch.operation, partial(value, patch, Route), fits)
        if placed is None:
            run.applied.discard(index)
        routes = placed or routes
    del host.routes[:]
    host.routes.extend(routes)


def _apply_to_route(route: Route, patches: list[tuple[int, EnvoyPatch]], run: Run) -> bool:
    for index, patch in patches:
        if patch.operation not in (Operation.MERGE, Operation.REMOVE):
            continue
        if not _is_route(_route_match(patch), route):
            continue
        if patch.operation is Operation.REMOVE:
            run.applied.add(index)
            return False
        with run.making(index):
            before = route.WhichOneof("action") or "none"
            merge(route, shared_value(patch, Route))
            if route.HasField("route") and not route.route.WhichOneof("cluster_specifier"):
                raise PatchError(
                    f"patch.value.route: names no cluster, and {route.name or 'the route'} has none to merge with "
                    f"(its action is {before}); match routes whose action is ROUTE"
                )
    return True


def _is_host(host: VirtualHost, patch: EnvoyPatch, subject: Subject) -> bool:
    match = patch.routes.virtual_host if patch.routes is not None else None
    if match is None:
        return True
    return match.name in ("", host.name, *subject.virtual_hosts) and (
        not match.domain or match.domain in host.domains
    )


def _route_match(patch: EnvoyPatch) -> RouteMatch | None:
    host = patch.routes.virtual_host if patch.routes is not None else None
    return host.route if host is not None else None


_ACTIONS = {"route": "ROUTE", "redirect": "REDIRECT", "direct_response": "DIRECT_RESPONSE"}


def _is_route(match: RouteMatch | None, route: Route) -> bool:
    """Routes of CONNECT (explicit interception) are meant only where they are named: a timeout for requests must not
    end tunnels."""
    name = match.name if match is not None else ""
    if route.match.HasField("connect_matcher") and name != route.name:
        return False
    if match is None:
        return True
    if name not in ("", route.name):
        return False
    return match.action in ("ANY", _ACTIONS.get(route.WhichOneof("action") or "", "ANY"))
