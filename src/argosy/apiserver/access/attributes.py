"""What a request wants to do, as authorization sees it, and how it is told that it may not.

Rule: attributes come from the same parsed path and query that the verb uses, so that nothing is done under another
name than it was allowed under.
# Kubernetes: apiserver/pkg/endpoints/request RequestInfo; endpoints/handlers/responsewriters Forbidden
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from starlette.datastructures import QueryParams

from argosy.apiserver import paths
from argosy.apiserver.auth import User
from argosy.apiserver.paths import NAMESPACES, Discovery
from argosy.apiserver.queries import truth
from argosy.apiserver.status import Refusal

OPERATIONS = "operations.argosy.dev"
_VERBS = {
    ("GET", True): "get",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("GET", False): "list",
    ("POST", False): "create",
    ("DELETE", False): "deletecollection",
}
_SHOWN = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Attributes(Struct, frozen=True, kw_only=True):
    """Of a resource where `resource` is set, otherwise of a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""  # "" for cluster-scoped kinds and for all namespaces
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(Struct, frozen=True):
    allowed: bool
    reason: str = ""


def attributes_of(method: str, path: str, query: QueryParams) -> Attributes:
    """Raises Refusal (400; 404 where the path means nothing)."""
    method = "GET" if method == "HEAD" else method
    if operation := _operation(path):
        resource, name, namespace = operation
        if resource == "delivery":
            namespace = _namespace_of(query.get("object") or "")
        verb = _VERBS.get((method, method not in ("POST",)), method.lower())
        return Attributes(verb=verb, group=OPERATIONS, resource=resource, name=name, namespace=namespace)
    what = paths.parse(path)
    if isinstance(what, Discovery):
        return Attributes(verb=method.lower(), path=path)
    verb, name = _VERBS.get((method, bool(what.name)), method.lower()), what.name
    if verb == "list" and watches(query):
        verb = "watch"
    if not name and verb in ("list", "watch", "deletecollection"):
        name = _selected_name(query)
    in_itself = what.kind.resource == NAMESPACES
    return Attributes(
        verb=verb,
        group=what.kind.group,
        resource=what.kind.plural,
        subresource=what.subresource,
        namespace=what.name if in_itself else what.namespace,
        name=name,
    )


def watches(query: QueryParams) -> bool:
    """Raises Refusal (400) where it is neither said nor denied."""
    return truth(query, "watch") is True


def forbidden(user: User, wanted: Attributes, reason: str = "") -> Refusal:
    """403 in kube-apiserver's words, which name the user, the verb and the resource, and say nothing of any object."""
    return refused(wanted.group, wanted.resource, wanted.name, denial(user, wanted, reason))


def denial(user: User, wanted: Attributes, reason: str = "") -> str:
    who = f"User {quoted(user.name)} cannot {wanted.verb}"
    if not wanted.resource:
        said = f"{who} path {quoted(wanted.path)}"
    else:
        where = f"in the namespace {quoted(wanted.namespace)}" if wanted.namespace else "at the cluster scope"
        said = f"{who} resource {quoted(wanted.full_resource)} in API group {quoted(wanted.group)} {where}"
    said = said.translate(_SHOWN)
    return f"{said}: {reason}" if reason else said


def refused(group: str, resource: str, name: str, why: str) -> Refusal:
    """403 about a resource ("": about a path)."""
    qualified = f"{resource}.{group}" if group else resource
    subject = f"{qualified} {quoted(name)} is " if name else f"{qualified} is " if qualified else ""
    given = {"name": name, "group": group, "kind": resource}
    details = {field: value for field, value in given.items() if value}
    headers = (("X-Content-Type-Options", "nosniff"),)
    return Refusal(403, f"{subject}forbidden: {why}", details=details, headers=headers)


def quoted(text: str) -> str:
    """As Go's %q, for text that people may have to read."""
    said = "".join(
        f"\\{char}" if char in '"\\' else char if char.isprintable() else f"\\u{ord(char):04x}"
        for char in text
    )
    return f'"{said}"'


def quoted_list(texts: Iterable[str]) -> str:
    return f"[{' '.join(quoted(text) for text in texts)}]"


def _operation(path: str) -> tuple[str, str, str] | None:
    """(resource, name, namespace) of a path of the operations' group:
    `/apis/operations.argosy.dev/v1[/namespaces/NS]/RESOURCE[/NAME…]`."""
    match path.removeprefix("/").split("/"):
        case ["apis", group, _, "namespaces", namespace, resource, *rest] if group == OPERATIONS and resource:
            return resource, "/".join(rest), namespace
        case ["apis", group, _, resource, *rest] if group == OPERATIONS and resource:
            return resource, "/".join(rest), ""
    return None


def _namespace_of(subject: str) -> str:
    """Of `KIND/NAMESPACE/NAME`: how a change arrives is a matter of the namespace that it was made in."""
    parts = subject.split("/")
    return parts[1] if len(parts) == 3 else ""


def _selected_name(query: QueryParams) -> str:
    """The one name that a field selector leaves, as in `metadata.name=x`."""
    for part in (query.get("fieldSelector") or "").split(","):
        key, found, value = part.partition("=")
        if found and key.strip() == "metadata.name":
            return value.removeprefix("=").strip()
    return ""
