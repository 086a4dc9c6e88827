"""Whatever is written, the door answers; whatever it takes, the model lowers, the translator makes and Envoy accepts.

The short form draws the same examples each time; the full one draws new ones. Random tests of the machines of `xds`,
`model` and `registry` lie beside their quick forms.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.registry.objects import ObjectRegistry
from argosy.resources.kinds import KINDS, decode
from argosy.resources.loading import LoadError, load_documents
from argosy.translate.compiler import Compiler
from argosy.translate.dump import dump
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.translate_envoy import validate
from tests.long import any_object
from tests.long.conftest import FULL, count
from tests.unit.apiserver import test_any_request as api
from tests.unit.resources import test_validation as door
from tests.unit.resources.rich import RICH

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

BATCHES = count(full=300, short=10)
OBJECTS = 14
NOT_YET = "is not served yet"


def many(*, full: int, short: int) -> settings:
    return settings(
        max_examples=count(full=full, short=short),
        derandomize=not FULL,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


# --- the door -------------------------------------------------------------------------------------------------------


@many(full=5_000, short=150)
@given(api.METHODS, api.PATHS, api.PARAMETERS, api.TYPES, api.BODIES)
async def test_any_request_gets_an_answer(
    method: str, path: list[str], parameters: dict[str, str], kind: str, body: bytes
) -> None:
    await api.any_request(method, path, parameters, kind, body)


@many(full=5_000, short=150)
@given(st.sampled_from(["POST", "PUT", "PATCH", "STATUS"]), api.damaged())
async def test_any_object_is_taken_or_refused(method: str, obj: Any) -> None:
    await api.any_object(method, obj)


@many(full=20_000, short=1000)
@given(st.data())
def test_rich_objects_with_parts_replaced_are_judged(data: st.DataObject) -> None:
    obj = copy.deepcopy(data.draw(st.sampled_from(RICH)))
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = data.draw(st.sampled_from(list(door.parts(obj))))
        parent[key] = data.draw(door.JSON | door.LIKELY)
    door.judged(obj)


@many(full=20_000, short=300)
@given(st.sampled_from(KINDS), door.JSON, door.JSON)
def test_any_content_of_any_kind_is_judged(kind: Any, metadata: Any, spec: Any) -> None:
    door.judged({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec})


@many(full=30_000, short=500)
@given(st.text(alphabet="ab:-&*<[]{}?!|>'\"#%\n ,1.~", max_size=200) | st.text(max_size=60))
def test_any_text_is_objects_or_a_load_error(text: str) -> None:
    with contextlib.suppress(LoadError):
        for document in load_documents(text, "f"):
            json.dumps(document.object, allow_nan=False)


# --- what it takes --------------------------------------------------------------------------------------------------


BASE = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"name": protocol, "port": port}]},
    }
    for name, protocol, port in (("reviews", "http", 9080), ("ratings", "grpc", 9090), ("cache", "tcp", 6379))
] + [
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": f"{app}-{version}", "namespace": "default"},
        "spec": {"address": address, "labels": {"app": app, "version": version}, "serviceAccount": app},
    }
    for app, version, address in (
        ("reviews", "v1", "10.5.0.1"),
        ("reviews", "v2", "10.5.0.2"),
        ("cache", "v1", "10.5.0.3"),
    )
]
"""What most of the random objects can mean."""


def lowered(objects: list[dict[str, Any]]) -> Snapshot:
    """The model of objects that the door took: what it cannot use, this version does not serve yet, and says so."""
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    registry = ObjectRegistry(
        domain_suffix=snapshot.mesh.domain_suffix, trust_domain=snapshot.mesh.trust_domain
    )
    typed = [decode(msgspec.json.encode(one)) for one in objects]
    snapshot.apply(registry.upsert_all(typed))
    for one in typed:
        snapshot.put_config(one)
    rejected = {**registry.rejected, **snapshot.rejected}
    assert not {ref: said for ref, said in rejected.items() if NOT_YET not in said}
    return snapshot


def proxies(snapshot: Snapshot) -> list[Proxy]:
    """One of each type and interception."""
    found = []
    for kind, interception, name, labels in (
        (ProxyType.SIDECAR, Interception.EXPLICIT, "reviews-v1", (("app", "reviews"), ("version", "v1"))),
        (ProxyType.SIDECAR, Interception.REDIRECT, "cache-v1", (("app", "cache"), ("version", "v1"))),
        (ProxyType.ROUTER, Interception.EXPLICIT, "edge", (("app", "reviews"), ("version", "v1"))),
    ):
        scope = scope_of(
            Reader(snapshot), type=kind, interception=interception, namespace="default", labels=labels
        )
        explicit = kind is ProxyType.SIDECAR and interception is Interception.EXPLICIT
        upstreams = (
            DeclaredUpstream("reviews", 9080, 18000),
            DeclaredUpstream("api.example.com", 443, 18001),
        )
        found.append(
            Proxy(
                namespace="default",
                name=name,
                scope=scope,
                labels=labels,
                outbound_port=15001 if explicit else 0,
                upstreams=upstreams if explicit else (),
                access_log=True,
            )
        )
    return found


def try_all(objects: list[dict[str, Any]], folder: Path) -> None:
    snapshot = lowered(objects)
    for proxy in proxies(snapshot):
        compiler = Compiler(snapshot)
        compiler.shared(proxy.scope)
        compiler.own(proxy)
        assert not {slot: said for slot, said in compiler.errors.items() if NOT_YET not in said}
        validate(dump(snapshot, proxy), folder)


def least(objects: list[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """As few of the objects as still fail, and how they do."""
    said = ""
    for one in list(objects):
        rest = [other for other in objects if other is not one]
        try:
            try_all(rest, folder)
        except Exception as error:
            objects, said = rest, str(error)
    return objects, said


def test_what_the_door_takes_envoy_accepts(tmp_path: Path) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or (time.time_ns() % 2**32 if FULL else 1))
    print(f"ARGOSY_SEED={seed}")
    for batch in range(BATCHES):
        objects = BASE + any_object.objects(random.Random(seed + batch), OBJECTS)
        try:
            try_all(objects, tmp_path)
        except Exception as error:
            fewer, said = least(objects, tmp_path)
            raise AssertionError(
                f"ARGOSY_SEED={seed + batch}: {said or error}\n{any_object.written(fewer)}"
            ) from error
