"""Generators: memoised on the key alone, weakly; versions are hashes of deterministic bytes."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from msgspec import Struct

from argosy.translate.cluster import ClusterKey, Discovery, cluster
from argosy.translate.generator import Encoded, calls, generator
from argosy.translate.resource import CLUSTER


def test_a_frame_is_a_discovery_resource() -> None:
    made = cluster(ClusterKey(name="a", discovery=Discovery.EDS))
    frame = discovery_pb2.Resource.FromString(made.frame)
    assert (frame.name, frame.version) == ("a", made.version)
    assert frame.resource.type_url == CLUSTER
    assert cluster_pb2.Cluster.FromString(frame.resource.value).name == "a"
    assert made.follow == "a"


def test_an_equal_key_builds_nothing() -> None:
    before = calls()["cluster"]
    first = cluster(ClusterKey(name="once", discovery=Discovery.EDS))
    assert cluster(ClusterKey(name="once", discovery=Discovery.EDS)) is first
    assert calls()["cluster"] == before + 1


def test_what_nobody_holds_is_dropped() -> None:
    made = cluster(ClusterKey(name="dropped", discovery=Discovery.EDS))
    assert any(key.name == "dropped" for key in cluster.memo)
    del made
    gc.collect()
    assert not any(key.name == "dropped" for key in cluster.memo)


def test_the_version_changes_with_the_bytes_and_only_then() -> None:
    class Key(Struct, frozen=True):
        name: str
        data: bytes
        salt: int = 0

    @generator
    def raw(key: Key) -> Encoded:
        return Encoded("x.Y", key.data)

    one, same, other = raw(Key("a", b"1")), raw(Key("a", b"1", salt=1)), raw(Key("a", b"2"))
    assert one.version == same.version
    assert one == same
    assert one.version != other.version


SCRIPT = """
import sys
from argosy.model import ir
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.dump import resources
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.unit.translate.mesh import populate
snapshot = Snapshot(ir.Mesh(access_log_file="/dev/stdout"))
populate(snapshot)
for interception in Interception:
    scope = Scope(type=ProxyType.SIDECAR, interception=interception, namespace="default")
    proxy = Proxy(namespace="default", name="reviews-v1", scope=scope, outbound_port=1,
                  upstreams=(DeclaredUpstream("reviews", 9080, 2),))
    for kind, held in sorted(resources(snapshot, proxy).items()):
        for name, one in sorted(held.items()):
            print(kind, name, one.version, one.frame.hex())
"""


def test_two_processes_with_other_hash_seeds_make_the_same_bytes() -> None:
    root = Path(__file__).parents[3]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{root}:{root / 'src'}"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) > 30
