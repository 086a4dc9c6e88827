"""What /metrics says of the mesh that this server serves."""

from __future__ import annotations

from argosy.server.attendance import Attendance
from argosy.server.leader import Leadership
from argosy.server.metrics import Gauge, Metrics, Reading
from argosy.server.reconcile import Reconciler
from argosy.server.reporting import Reporter


def show_mesh(
    metrics: Metrics,
    reconciler: Reconciler,
    attendance: Attendance,
    reporter: Reporter,
    leadership: Leadership,
) -> None:
    proxies, views = reconciler.proxies, reconciler.views
    for name, help_text, read in (
        ("argosy_proxies_connected", "Proxies with an open stream.", lambda: len(proxies.sessions)),
        (
            "argosy_workloads_attending",
            "Workloads whose agent is connected.",
            lambda: len(attendance.attending),
        ),
        (
            "argosy_workloads_kept_lost",
            "Lost workloads that a service needs.",
            lambda: len(attendance.kept),
        ),
        (
            "argosy_server_leads",
            "Whether this server writes the conditions, and removes the lost, for all of them.",
            lambda: int(leadership.leads),
        ),
        ("argosy_servers", "Servers that are present.", lambda: len(attendance.present())),
        ("argosy_views_shared", "Views that proxies share.", lambda: views.counts()[0]),
        ("argosy_views_own", "Views of one proxy.", lambda: views.counts()[1]),
        ("argosy_objects", "Objects of the store.", lambda: len(reconciler.known)),
        (
            "argosy_store_revision",
            "Revision of the store that the views hold.",
            lambda: reconciler.revision,
        ),
    ):
        metrics.show(name, help_text, Gauge(read))
    metrics.show(
        "argosy_workloads_removed_lost_total",
        "Workloads removed because their connection was lost.",
        Reading(lambda: attendance.removed_for_loss),
    )
    metrics.show(
        "argosy_status_written_total",
        "Objects whose conditions were written.",
        Reading(lambda: reporter.written),
    )
