"""What the rows write, without a namespace: theirs is that of the row."""

from __future__ import annotations

import json
from typing import Any

from tests.servers.kubectl import Kubectl

Json = dict[str, Any]

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, labels: {app: reviews}}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: key}
data: {a: YQ==, b: Yg==}
"""


def route_named(name: str) -> str:
    return ROUTE.replace("name: reviews,", f"name: {name},")


def settings_named(name: str, row: str) -> str:
    """A ConfigMap with a label that no other row has."""
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, labels: {{row: {row}}}}}
data: {{a: "1"}}
"""


def route(kubectl: Kubectl, name: str = "reviews") -> Json:
    found: Json = json.loads(kubectl.ok("get", "vs", name, "-o", "json", "--show-managed-fields"))
    return found


def managers(obj: Json) -> set[tuple[str, str]]:
    return {(each["manager"], each["operation"]) for each in obj["metadata"]["managedFields"]}
