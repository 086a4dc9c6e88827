"""What comes to its end, told before it bites: certificates of workloads that are not renewed, and the authority's own.

A workload renews after a quarter of its certificate's life; past half of it something is wrong. Each is told once, when
it begins and when it is over, and counted in the metrics; `argosy identity expiring` and `argosy proxy status` name it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from argosy.identity.authority import Authority
from argosy.runtime.certificates import DAY, at
from argosy.runtime.log import logger
from argosy.server.metrics import Gauge, Metrics
from argosy.server.proxies import is_late
from argosy.xds.registration import Credentials

SOON, BAD = 90 * DAY, 7 * DAY
TELL_AGAIN_AFTER = DAY
REMEDY = (
    "the role ca must run and answer, the workload's service account be allowed by an IdentityRegistration and every "
    "IssuingPolicy"
)

log = logger("identity")


class Ends:
    """`credentials` gives what the proxies hold that are attended here, by name."""

    def __init__(
        self,
        authority: Authority,
        credentials: Callable[[], Mapping[str, Credentials]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.authority = authority
        self.clock = clock
        self.late: frozenset[str] = frozenset()
        self._credentials = credentials
        self._told_at = float("-inf")

    def look(self) -> None:
        """From time to time."""
        now = self.clock()
        self._look_at_workloads(now)
        self._look_at_authority(now)

    def _look_at_workloads(self, now: float) -> None:
        held = self._credentials()
        late = frozenset(name for name, one in held.items() if is_late(one, now))
        for name in sorted(late - self.late):
            log.warning(
                "certificate past half of its life and not renewed",
                workload=name,
                until=int(held[name].not_after),
                reason=held[name].problem or "its agent has not said why",
                remedy=REMEDY,
            )
        for name in sorted((self.late - late) & held.keys()):
            log.info("certificate renewed after all", workload=name)
        self.late = late

    def _look_at_authority(self, now: float) -> None:
        left = self.authority.issuer.ends - now
        if left >= SOON or now - self._told_at < TELL_AGAIN_AFTER:
            return
        self._told_at = now
        root_ends = self.authority.root.not_valid_after_utc.timestamp()
        what, remedy = "issuing certificate", "argosy identity csr, argosy identity install-issuing"
        if root_ends - now < SOON:
            what, remedy = "root", "argosy identity rotate-root"
        elif self.authority.holds_root:
            remedy = "nothing: it is renewed by itself"
        tell = log.error if left < BAD else log.warning
        tell(
            "the authority nears its end",
            what=what,
            ends=f"{at(now + left):%Y-%m-%d %H:%M} UTC",
            remedy=remedy,
        )

    def show(self, metrics: Metrics) -> None:
        metrics.show(
            "argosy_certificates_late",
            "Proxies attended here whose certificate is past half of its life.",
            Gauge(lambda: len(self.late)),
        )
        metrics.show(
            "argosy_authority_seconds_left",
            "Until what this server issues certificates with comes to its end.",
            Gauge(lambda: max(0.0, self.authority.issuer.ends - self.clock())),
        )
