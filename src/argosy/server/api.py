"""The API role: the API of a store on its address (always TLS) and on a Unix socket, with all that decides who may.

D/token        the token of the admin              D/kubeconfig   how its clients find it (kubectl, too)
D/client-ca/   the authority of its clients        D/server.crt, server.key   what it shows to them
R/api.sock     the API for this host: the kernel names the user
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from argosy.apiserver import auth, kubeconfig, serving
from argosy.apiserver.access.audit_log import AuditLog
from argosy.apiserver.access.authentication import ADMIN, Authenticator
from argosy.apiserver.access.client_authority import (
    ClientCertificates,
    foreign_authorities,
    open_client_authority,
)
from argosy.apiserver.access.follower import AccessFollower
from argosy.apiserver.access.granting import Granting
from argosy.apiserver.access.reviews import answers
from argosy.apiserver.app import create_app
from argosy.apiserver.kubeconfig import Connection
from argosy.apiserver.writing import Admission
from argosy.identity.authority import Authority, ServerCertificate
from argosy.runtime.log import logger
from argosy.runtime.paths import make_runtime_dir, write_private
from argosy.server.ports import OwnCertificate
from argosy.server.settings import Settings
from argosy.store.base import Store

SOCKET = "api.sock"

log = logger("apiserver")


class ApiRole:
    """`load`, then `run` beside everything else, then `serve`."""

    def __init__(self, settings: Settings, store: Store, authority: Authority, own: OwnCertificate) -> None:
        """Raises Failure where a file of the settings cannot be used."""
        state = settings.state
        self._settings, self._store, self._own = settings, store, own
        self._token = auth.token_file(state / "token")
        tokens = auth.token_list(settings.token_file) if settings.token_file else {}
        foreign = (
            foreign_authorities(settings.client_ca_file, (authority.root, authority.issuing))
            if settings.client_ca_file
            else ""
        )
        self.certificates = ClientCertificates(open_client_authority(state / "client-ca"), foreign)
        self.access = AccessFollower(store, log)
        self.authenticator = Authenticator(
            self.access,
            tokens=tokens | {self._token: ADMIN},
            certificates=self.certificates,
            own_uid=os.getuid(),
        )
        self._authority = authority
        self.audit_log = AuditLog(
            settings.audit_log or state / "audit.log",
            logger("audit"),
            most_bytes=settings.audit_bytes,
            keep=settings.audit_keep,
        )
        self._check_time = bool(foreign)

    def app(self, admission: Admission, routes: Sequence[BaseRoute]) -> Starlette:
        granting = Granting(self.access, self._store)
        return create_app(
            self._store,
            authenticate=self.authenticator,
            authorizer=self.access,
            recognise=self.authenticator.find,
            admission=granting.before(admission),
            virtual=answers(self.access, granting, self.certificates.own),
            extra_routes=routes,
            audit_log=self.audit_log,
            log=log,
        )

    async def serve(self, app: Starlette) -> tuple[serving.Serving, serving.Serving]:
        """On the address, and on the Unix socket. Raises Failure."""
        state, wanted = self._settings.state, self._settings.api
        chain, key = state / "server.crt", state / "server.key"
        _write_certificate(self._own.current, chain, key)
        secure = await serving.serve(
            app,
            wanted.host,
            wanted.port,
            cert=chain,
            key=key,
            clients=self.certificates.trusted,
            check_time=self._check_time,
        )

        def renewed(certificate: ServerCertificate) -> None:
            _write_certificate(certificate, chain, key)
            secure.renew(chain, key)

        self._own.on_renewed.append(renewed)
        try:
            # A place that was chosen is for all whom User objects map: the kernel names the user of each connection.
            chosen = self._settings.api_socket is not None
            return secure, await serving.serve(app, uds=self.socket(), everybody=chosen)
        except BaseException:
            await secure.stop()
            raise

    def socket(self) -> Path:
        return self._settings.api_socket or make_runtime_dir(self._settings.state) / SOCKET

    def write_kubeconfig(self, url: str) -> None:
        connection = Connection(server=url, ca=self._authority.bundle, token=self._token)
        kubeconfig.write(self._settings.state / "kubeconfig", kubeconfig.build(connection))


def _write_certificate(certificate: ServerCertificate, chain: Path, key: Path) -> None:
    write_private(key, certificate.key.encode())
    write_private(chain, certificate.chain.encode())
