"""The columns of these kinds' tables: Istio's, and whether the proxies run it.

# Istio: the additionalPrinterColumns of its definitions
"""

from __future__ import annotations

from argosy.resources.kind import AGE, Column

PROGRAMMED = Column(
    "Programmed",
    '.status.conditions[?(@.type=="Programmed")].status',
    description="Whether the proxies that it concerns run it.",
)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "VirtualService": (
        Column("Gateways", ".spec.gateways", description="The gateways at which the routes hold."),
        Column("Hosts", ".spec.hosts", description="The hosts that the routes are for."),
        PROGRAMMED,
        AGE,
    ),
    "DestinationRule": (
        Column("Host", ".spec.host", description="The service that the rule is for."),
        PROGRAMMED,
        AGE,
    ),
    "Gateway": (
        Column("Selector", ".spec.selector", priority=1, description="The labels of the proxies it is for."),
        PROGRAMMED,
        AGE,
    ),
    "ServiceEntry": (
        Column("Hosts", ".spec.hosts", description="The hosts of the service."),
        Column("Location", ".spec.location", description="Within the mesh, or outside."),
        Column("Resolution", ".spec.resolution", description="How addresses of the hosts are found."),
        PROGRAMMED,
        AGE,
    ),
    "WorkloadEntry": (
        Column("Address", ".spec.address", description="Where the workload is reached."),
        Column(
            "Healthy",
            '.status.conditions[?(@.type=="Healthy")].status',
            description="Whether its probe succeeds; empty where nothing looks.",
        ),
        Column("Service Account", ".spec.serviceAccount", priority=1, description="As whom it runs."),
        AGE,
    ),
}
