"""The objects that are analysed together, indexed (`index`); as they were written, valid or not.

* An object that is given again replaces the earlier one: so files lie over what a server holds.
* `complete`: it is all that a mesh has (a server was asked). Else it is what somebody has in files: then a destination
  of a route is judged only against kinds of which the files have any, and Istio's default ingress gateway is taken to
  be there, as it is part of no user's files.
* Without a namespace an object is in the chosen one, and is called without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from argosy.explain.analysis import parts
from argosy.explain.analysis.index import OBJECT, SETTINGS, Index, Ref, Topic, labels_of, topics
from argosy.explain.analysis.parts import Json
from argosy.resources import meshconfig
from argosy.resources.kinds import kind_of_group
from argosy.resources.meta import describe

INGRESS_LABELS = {"istio": "ingressgateway"}
INGRESS_PORTS = (80, 443, 31400, 15443)
"""Of Istio's default ingress gateway. # Istio: reference/config/analysis/ist0162"""
OF_THE_CLUSTER = frozenset(
    (
        "Node",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ClusterRole",
        "ClusterRoleBinding",
    )
)
"""Kinds that are not the mesh's and have no namespace."""
_FOREIGN = {
    "apps/Deployment": "Deployment",
    "/Pod": "Pod",
    "/Node": "Node",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration": "MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration": "ValidatingWebhookConfiguration",
}
KUBERNETES_GATEWAY = "Gateway.gateway.networking.k8s.io"
MESH_CONFIG, MESH_NETWORKS = "MeshConfig", "MeshNetworks"
SYSTEM_NAMESPACE = "istio-system"
INFRASTRUCTURE = frozenset(("kube-system", "kube-public", "kube-node-lease", "local-path-storage"))
"""Namespaces of Kubernetes itself, which no mesh has anything in."""


class Item(Struct, frozen=True):
    """One object."""

    kind: str  # unique: `Gateway`, `Gateway.gateway.networking.k8s.io`
    namespace: str  # in which it is; "" of the cluster
    name: str
    body: Json
    named_namespace: str = ""  # as it was written
    source: str = ""  # a file, as it was given; "": a server
    index: int = 0  # of the object in its file
    line: int = 0  # where it begins

    @property
    def origin(self) -> str:
        return describe(self.kind.partition(".")[0], self.named_namespace, self.name)

    @property
    def owner(self) -> str:
        """How others' messages name it: `shop/edge`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def spec(self) -> Json:
        return parts.mapping(self.body, "spec")

    @property
    def labels(self) -> dict[str, str]:
        return parts.labels(self.body, "metadata", "labels")

    @property
    def annotations(self) -> dict[str, str]:
        return parts.labels(self.body, "metadata", "annotations")

    @property
    def created(self) -> str:
        return parts.text(self.body, "metadata", "creationTimestamp")


class Workload(Struct, frozen=True):
    """What selectors select: a Pod, a WorkloadEntry, or the ingress gateway that is taken to be there."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    item: Item | None = None  # None: the ingress gateway
    behind_services: bool = False  # reached through Services alone, as pods are


def item(
    body: Json, namespace: str = "default", *, source: str = "", index: int = 0, line: int = 0
) -> Item | None:
    """`namespace`: where it is if it does not say. None: it has no kind to be called by."""
    api_version, kind = parts.text(body, "apiVersion"), parts.text(body, "kind")
    name = parts.text(body, "metadata", "name") or parts.text(body, "metadata", "generateName")
    name = name or f"(object {index} of {source})"
    if not kind:
        return None
    known = kind_of_group(api_version, kind)
    group = api_version.rpartition("/")[0]
    unique = (
        known.unique_name if known else _FOREIGN.get(f"{group}/{kind}", f"{kind}.{group}" if group else kind)
    )
    written = parts.text(body, "metadata", "namespace")
    namespaced = known.namespaced if known else kind not in OF_THE_CLUSTER
    return Item(
        unique, (written or namespace) if namespaced else "", name, body, written, source, index, line
    )


class World:
    def __init__(
        self,
        items: Iterable[Item],
        *,
        mesh: Item | None = None,
        networks: Item | None = None,
        complete: bool = False,
        hidden: Iterable[str] = (),
        domain_suffix: str = "cluster.local",
        now: str = "",
    ) -> None:
        """`mesh`, `networks`: settings, where they are not the ConfigMap's. `hidden`: kinds of which nothing can be
        said to be missing, as we may not read them. `now`: RFC 3339, for certificates; "": any time."""
        self.items: dict[Ref, Item] = {}
        self.index = Index()
        self.complete, self.domain_suffix, self.now = complete, domain_suffix, now
        self.hidden = frozenset(hidden)
        self.settings = tuple(each for each in (mesh, networks) if each is not None)
        self._given = mesh, networks
        self._mesh: Json | None = None
        for each in items:
            self.put(each)

    def put(self, item: Item) -> frozenset[Topic]:
        """In place of what has its name. The topics under which something is another now."""
        ref = (item.kind, item.namespace, item.name)
        before = self.items.get(ref)
        if before == item:
            return frozenset()
        old = topics(before, self.domain_suffix) if before is not None else frozenset()
        new = topics(item, self.domain_suffix)
        self.index.remove(ref, old - new)
        self.items[ref] = item
        self.index.add(ref, item, new)
        return old | new | self._settings_touched(ref)

    def remove(self, ref: Ref) -> frozenset[Topic]:
        """The topics under which it was."""
        before = self.items.pop(ref, None)
        if before is None:
            return frozenset()
        old = topics(before, self.domain_suffix)
        self.index.remove(ref, old)
        return old | self._settings_touched(ref)

    def _settings_touched(self, ref: Ref) -> frozenset[Topic]:
        if ref != ("ConfigMap", SYSTEM_NAMESPACE, meshconfig.CONFIG_MAP):
            return frozenset()
        self._mesh = None
        return frozenset((SETTINGS,))

    def of(self, *kinds: str) -> Iterator[Item]:
        """The objects of these kinds, in the order in which they were given."""
        for kind in kinds:
            yield from self.index.under("kind", kind)

    def get(self, kind: str, namespace: str, name: str) -> Item | None:
        self.index.note(OBJECT, kind, namespace, name)
        return self.items.get((kind, namespace, name))

    def knows(self, *kinds: str) -> bool:
        """Whether it can be said that an object of one of these kinds is not there."""
        if not self.hidden.isdisjoint(kinds):
            return False
        return self.complete or any(self.index.size("kind", kind) for kind in kinds)

    @property
    def mesh(self) -> Json:
        """MeshConfig."""
        self.index.under(*SETTINGS)
        if self._mesh is None:
            given, _ = self._given
            self._mesh = self._settings(meshconfig.KEY) if given is None else given.body
        return self._mesh

    @property
    def networks(self) -> Item | None:
        _, given = self._given
        return given if given is not None else self._networks()

    @property
    def root_namespace(self) -> str:
        return parts.text(self.mesh, "rootNamespace") or SYSTEM_NAMESPACE

    @property
    def _ingress(self) -> Workload | None:
        """The default ingress gateway, where nothing is known to be it."""
        if self.complete or parts.text(self.mesh, "ingressControllerMode") == "OFF":
            return None
        (label,) = INGRESS_LABELS.items()
        if self.index.size("labelled", *label):
            return None
        name = parts.text(self.mesh, "ingressService") or "istio-ingressgateway"
        return Workload(SYSTEM_NAMESPACE, name, INGRESS_LABELS, behind_services=True)

    def selected(self, selector: Mapping[str, str], namespace: str = "") -> Iterator[Workload]:
        """Workloads with all these labels, in one namespace or in all of them."""
        place = (namespace,) if namespace else ()
        ways = [("labelled", *label, *place) for label in sorted(selector.items())] or [("workloads", *place)]
        for each in self.index.under(*min(ways, key=lambda way: self.index.size(*way))):
            labels = labels_of(each)
            if parts.selects(selector, labels):
                yield Workload(each.namespace, each.name, labels, each, behind_services=each.kind == "Pod")
        ingress = self._ingress
        if ingress is None or namespace not in ("", ingress.namespace):
            return
        if parts.selects(selector, ingress.labels):
            yield ingress

    def namespace(self, name: str) -> Item | None:
        return self.get("Namespace", "", name)

    def _settings(self, key: str) -> Json:
        """Of the ConfigMap `istio`; {} where there is none, or it cannot be read (its own check says so)."""
        config = self.get("ConfigMap", SYSTEM_NAMESPACE, meshconfig.CONFIG_MAP)
        text = parts.text(config.body, "data", key) if config else ""
        return _read(text, key)

    def _networks(self) -> Item | None:
        settings = self._settings(meshconfig.NETWORKS_KEY)
        return settings_item(MESH_NETWORKS, settings) if settings else None


def settings_item(kind: str, settings: Json, *, source: str = "", index: int = 0, line: int = 0) -> Item:
    """Settings are no object; messages call them so. # Istio: MeshConfigResourceName, MeshNetworksResourceName"""
    return Item(kind, SYSTEM_NAMESPACE, kind.lower(), settings, SYSTEM_NAMESPACE, source, index, line)


def _read(text: str, key: str) -> Json:
    from argosy.resources.loading import LoadError, load_documents

    try:
        documents = load_documents(text, key)
    except LoadError:
        return {}
    return documents[0].object if len(documents) == 1 and isinstance(documents[0].object, dict) else {}
