"""Access to the API of a whole server: over real TLS with tokens and certificates, over its Unix socket, and not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pwd
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argosy.identity.client import new_key_and_csr
from argosy.runtime.errors import Failure
from argosy.server.process import ControlPlane
from argosy.server.settings import Settings
from tests.unit.server.test_process import identity, serving, settings

Json = dict[str, Any]
SHOP = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
USERS = "/apis/access.argosy.dev/v1/users"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SECRETS = "/api/v1/namespaces/shop/secrets"


@contextlib.asynccontextmanager
async def with_shop(chosen: Settings) -> AsyncIterator[ControlPlane]:
    async with serving(chosen) as running:
        async with admin(running) as web:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
            assert (await web.post("/api/v1/namespaces", json=body)).status_code == 201
        yield running


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with with_shop(settings(tmp_path / "state")) as running:
        yield running


def web_of(plane: ControlPlane, token: str = "", files: tuple[Path, Path] | None = None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cadata=plane.authority.bundle)
    if files:
        context.load_cert_chain(*files)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        base_url=plane.info.api, verify=context, headers=headers, trust_env=False, timeout=20
    )


def admin(plane: ControlPlane) -> httpx.AsyncClient:
    return web_of(plane, (plane.settings.state / "token").read_text().strip())


def user(name: str, token: str = "", *, groups: tuple[str, ...] = (), expires: str = "", **spec: Any) -> Json:
    tokens = [
        {"sha256": hashlib.sha256(token.encode()).hexdigest()} | ({"expires": expires} if expires else {})
    ]
    return {
        "apiVersion": "access.argosy.dev/v1",
        "kind": "User",
        "metadata": {"name": name},
        "spec": {"groups": list(groups), **({"tokens": tokens} if token else {}), **spec},
    }


def binding(role: str, name: str, namespace: str = "", *, kind: str = "User") -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": f"{name}-{role.replace(':', '-')}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}],
    }


async def made(plane: ControlPlane, path: str, body: Json) -> Json:
    async with admin(plane) as web:
        answer = await web.post(path, json=body)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def certificate(plane: ControlPlane, name: str, folder: Path, seconds: int = 3600) -> tuple[Path, Path]:
    key, csr = new_key_and_csr()
    request = {
        "apiVersion": "access.argosy.dev/v1",
        "kind": "ClientCertificate",
        "spec": {"user": name, "request": csr, "expirationSeconds": seconds},
    }
    answer = await made(plane, "/apis/access.argosy.dev/v1/clientcertificates", request)
    return written(folder / name, answer["status"]["certificate"], key)


def written(base: Path, chain: str, key: str) -> tuple[Path, Path]:
    files = base.with_suffix(".crt"), base.with_suffix(".key")
    for path, text in zip(files, (chain, key), strict=True):
        path.write_text(text)
    return files


def unauthorized(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")


# --- who is it ---


async def test_a_user_with_a_token_may_what_is_bound_and_nothing_else(plane: ControlPlane) -> None:
    token = "a-token-for-alice-only"
    await made(plane, USERS, user("alice", token))
    await made(
        plane, f"{RBAC}/namespaces/shop/rolebindings", binding("argosy:service-developer", "alice", "shop")
    )
    async with web_of(plane, token) as web:
        assert (await web.get(SHOP)).status_code == 200
        assert (await web.get("/apis")).status_code == 200
        for method, path, words in (
            (
                "GET",
                f"{SECRETS}/key",
                'secrets "key" is forbidden: User "alice" cannot get resource "secrets" in API group "" '
                'in the namespace "shop"',
            ),
            (
                "GET",
                SHOP.replace("shop", "other"),
                'virtualservices.networking.istio.io is forbidden: User "alice" cannot list resource '
                '"virtualservices" in API group "networking.istio.io" in the namespace "other"',
            ),
            (
                "GET",
                f"{SECRETS}?watch=true",
                'secrets is forbidden: User "alice" cannot watch resource "secrets" in API group "" in the '
                'namespace "shop"',
            ),
            (
                "GET",
                "/apis/operations.argosy.dev/v1/proxies",
                'proxies.operations.argosy.dev is forbidden: User "alice" cannot get resource "proxies" in API group '
                '"operations.argosy.dev" at the cluster scope',
            ),
        ):
            answer = await web.request(
                method, path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
            )
            assert (answer.status_code, answer.json()["message"]) == (403, words)
            assert answer.json()["kind"] == "Status"
        object_of = {"object": "VirtualService/shop/x", "revision": "1", "timeout": "0"}
        delivery = "/apis/operations.argosy.dev/v1/delivery"
        assert (await web.get(delivery, params=object_of)).status_code == 200
        object_of["object"] = "VirtualService/other/x"
        assert (await web.get(delivery, params=object_of)).status_code == 403


async def test_what_does_not_exist_is_forbidden_in_the_same_words(plane: ControlPlane) -> None:
    """Nothing tells one who may not read whether there is something."""
    await made(plane, USERS, user("eve", "a-token-of-eve-alone"))
    await made(
        plane,
        SECRETS,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "there"}, "stringData": {"a": "b"}},
    )
    async with web_of(plane, "a-token-of-eve-alone") as web:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            there = await web.request(method, f"{SECRETS}/there", content=b"{}")
            absent = await web.request(method, f"{SECRETS}/absent", content=b"{}")
            assert there.status_code == absent.status_code == 403
            assert there.text.replace("there", "absent") == absent.text


async def test_wrong_expired_and_revoked_credentials_are_401_alike(
    plane: ControlPlane, tmp_path: Path
) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await made(plane, USERS, user("late", "a-token-that-has-ended", expires=past))
    await made(plane, USERS, user("bob", "a-token-of-bob-himself"))
    files = await certificate(plane, "bob", tmp_path)
    async with web_of(plane, files=files) as web, admin(plane) as root:
        for header in (
            "Bearer wrong-token-altogether",
            "Bearer a-token-that-has-ended",
            "Basic YTpi",
            "Bearer",
        ):
            assert unauthorized(await web.get("/version", headers={"authorization": header})), header
        assert (await web.get("/version")).status_code == 200, "by the certificate"
        assert (await root.delete(f"{USERS}/bob")).status_code == 200
        assert unauthorized(await web.get("/version")), "the same connection"
        await made(plane, USERS, user("bob", "another-token-of-bob"))
        assert unauthorized(await web.get("/version")), "another user of that name"
    async with web_of(plane, "a-token-of-bob-himself") as web:
        assert unauthorized(await web.get("/version"))


async def test_a_certificate_ends_when_it_says(plane: ControlPlane, tmp_path: Path) -> None:
    await made(plane, USERS, user("short"))
    assert plane.api is not None
    plane.api.certificates.own._clock = lambda: time.time() - 7200
    files = await certificate(plane, "short", tmp_path)
    async with web_of(plane, files=files) as web:
        assert unauthorized(await web.get("/version"))


async def test_no_certificate_of_the_mesh_is_a_user_of_the_api(plane: ControlPlane, tmp_path: Path) -> None:
    held = await identity(plane, "client")
    files = written(tmp_path / "workload", "".join(held.chain), held.key)
    async with web_of(plane, files=files) as web:
        with pytest.raises(httpx.TransportError):
            await web.get("/version")


async def test_the_authority_of_the_workloads_is_no_authority_for_people(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    async with serving(chosen) as plane:
        (tmp_path / "mesh.pem").write_text(plane.authority.bundle)
    with pytest.raises(Failure, match="an authority of the mesh's workloads"):
        async with serving(msgspec.structs.replace(chosen, client_ca_file=tmp_path / "mesh.pem")):
            pass


async def test_a_certificate_of_ones_own_authority_is_its_cn_and_os(tmp_path: Path) -> None:
    authority = Foreign(tmp_path)
    chosen = settings(tmp_path / "state", client_ca_file=authority.file)
    async with with_shop(chosen) as plane:
        await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "devs", kind="Group"))
        files = authority.certificate(tmp_path / "carol", "carol", ("devs",))
        async with web_of(plane, files=files) as web:
            assert (await web.get(SHOP)).status_code == 200
            assert (await web.get(f"{SECRETS}/x")).status_code == 403
            who = await web.post(
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                json={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            )
            assert who.json()["status"]["userInfo"] == {
                "username": "carol",
                "groups": ["devs", "system:authenticated"],
            }
        files = authority.certificate(tmp_path / "old", "carol", ("devs",), ended=True)
        async with web_of(plane, files=files) as web:
            with pytest.raises(httpx.TransportError):
                await web.get("/version")


class Foreign:
    """An authority for people, that somebody else runs."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "people")])
        extension = x509.BasicConstraints(ca=True, path_length=None)
        signed = self._builder(self.name, self.key.public_key(), 3600).add_extension(extension, critical=True)
        self.file = folder / "people.pem"
        self.file.write_bytes(signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ends: int
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=2))
            .not_valid_after(now + timedelta(seconds=ends))
        )

    def certificate(
        self, base: Path, name: str, groups: tuple[str, ...], *, ended: bool = False
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
        signed = self._builder(x509.Name(subject), key.public_key(), -60 if ended else 3600)
        made = signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return written(base, made.decode(), plain.decode())


async def test_the_users_of_a_token_file_are_known(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text(
        '# people\na-token-of-dora-alone,dora,7,"argosy:viewers,devs"\n\na-token-of-emil-alone,emil,8\n'
    )
    file.chmod(0o600)
    async with with_shop(settings(tmp_path / "state", token_file=file)) as plane:
        async with web_of(plane, "a-token-of-dora-alone") as web:
            assert (await web.get(SHOP)).status_code == 200
        async with web_of(plane, "a-token-of-emil-alone") as web:
            assert (await web.get(SHOP)).status_code == 403


# --- how it is reached ---


def modes(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


async def test_the_unix_socket_is_its_users_own(plane: ControlPlane) -> None:
    path = Path(plane.info.api_socket)
    assert modes(path, path.parent) == [0o600, 0o700]
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://api"
    ) as web:
        assert (await web.get(SHOP)).status_code == 200
        assert unauthorized(await web.get(SHOP, headers={"authorization": "Bearer of-nobody-at-all"}))
        who = await web.post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        assert who.json()["status"]["userInfo"]["username"] == "admin"


async def test_another_unix_user_is_whom_a_user_object_maps_it_to(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(plane.info.api_socket)
    assert plane.api is not None
    monkeypatch.setattr(plane.api.authenticator, "_own_uid", os.getuid() + 1)
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as web:
        assert unauthorized(await web.get(SHOP))
        me = pwd.getpwuid(os.getuid()).pw_name
        await made(plane, USERS, user("local", unixUsers=[me], groups=("argosy:viewers",)))
        assert (await web.get(SHOP)).status_code == 200
        assert (await web.delete(SHOP)).status_code == 403


async def test_nothing_is_answered_without_tls(plane: ControlPlane) -> None:
    host, port = plane.info.api.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.settimeout(10)
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            received = await asyncio.to_thread(plain.recv, 4096)
            assert not received.startswith(b"HTTP")


# --- what one gives to others ---


async def test_nobody_gives_away_what_they_do_not_have(plane: ControlPlane) -> None:
    token = "a-token-of-a-keeper"
    await made(plane, USERS, user("keeper", token, groups=("argosy:viewers",)))
    everything_of_access = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "access-keeper"},
        "rules": [
            {"apiGroups": ["rbac.authorization.k8s.io", "access.argosy.dev"], "resources": ["*"],
             "verbs": ["get", "list", "create", "update", "patch", "delete"]},
        ],
    }  # fmt: skip
    await made(plane, f"{RBAC}/clusterroles", everything_of_access)
    await made(plane, f"{RBAC}/clusterrolebindings", binding("access-keeper", "keeper"))
    async with web_of(plane, token) as web:

        async def post(path: str, body: Json, **query: str) -> tuple[int, str]:
            answer = await web.post(path, json=body, params=query)
            return answer.status_code, answer.json().get("message", "")

        code, message = await post(f"{RBAC}/clusterrolebindings", binding("argosy:admin", "keeper"))
        assert code == 403
        assert message.startswith(
            'clusterrolebindings.rbac.authorization.k8s.io "keeper-argosy-admin" is forbidden: user "keeper" '
            '(groups=["argosy:viewers" "system:authenticated"]) is attempting to grant RBAC permissions not currently '
            "held:\n"
        )
        assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in message
        code, _ = await post(f"{RBAC}/clusterrolebindings", binding("argosy:admin", "keeper"), dryRun="All")
        assert code == 403
        assert (await post(f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "pal")))[0] == 201
        assert (await post(f"{RBAC}/clusterrolebindings", binding("absent", "keeper"))) == (
            404,
            'clusterroles.rbac.authorization.k8s.io "absent" not found',
        )
        widened = everything_of_access | {
            "rules": [
                *everything_of_access["rules"],
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
            ]
        }
        patch = {"rules": widened["rules"]}
        for content_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            answer = await web.patch(
                f"{RBAC}/clusterroles/access-keeper",
                content=msgspec.json.encode(patch),
                headers={"content-type": content_type},
            )
            assert answer.status_code == 403
            assert answer.json()["message"].endswith('{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}')
        answer = await web.patch(
            f"{RBAC}/clusterroles/access-keeper",
            content=b'{"metadata":{"labels":{"a":"b"}}}',
            headers={"content-type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, "what gives nothing more may be changed"
        assert (await post(USERS, user("mallory", "a-token-of-mallory", groups=("system:masters",))))[
            0
        ] == 403
        assert (await post(USERS, user("mallory", "a-token-of-mallory", groups=("argosy:admins",))))[0] == 403
        assert (await post(USERS, user("pal", "a-token-for-a-friend")))[0] == 201


async def test_an_apply_creates_only_for_those_who_may_create(plane: ControlPlane) -> None:
    token = "a-token-of-a-patcher"
    await made(plane, USERS, user("patcher", token))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "patcher"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}],
    }
    await made(plane, f"{RBAC}/clusterroles", role)
    await made(plane, f"{RBAC}/clusterrolebindings", binding("patcher", "patcher"))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}
    path = "/api/v1/namespaces/shop/configmaps"
    async with web_of(plane, token) as web:

        async def apply() -> httpx.Response:
            return await web.patch(
                f"{path}/m?fieldManager=test",
                content=msgspec.json.encode(body),
                headers={"content-type": "application/apply-patch+yaml"},
            )

        answer = await apply()
        assert (answer.status_code, answer.json()["message"]) == (
            403,
            'configmaps "m" is forbidden: User "patcher" cannot create resource "configmaps" in API group "" in the '
            'namespace "shop"',
        )
        await made(plane, path, body)
        assert (await apply()).status_code == 200


# --- while it lasts ---


async def test_a_watch_ends_when_its_user_may_no_longer_have_it(plane: ControlPlane) -> None:
    token = "a-token-of-a-watcher"
    await made(plane, USERS, user("watcher", token))
    bound = await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "watcher"))
    async with web_of(plane, token) as web, admin(plane) as root:
        for removed in (f"{RBAC}/clusterrolebindings/{bound['metadata']['name']}", f"{USERS}/watcher"):
            async with web.stream("GET", f"{SHOP}?watch=true&timeoutSeconds=600") as response:
                assert response.status_code == 200
                await made(plane, SHOP, _route(hashlib.sha256(removed.encode()).hexdigest()[:8]))
                lines = response.aiter_lines()
                assert "ADDED" in await anext(lines)
                assert (await root.delete(removed)).status_code == 200
                async with asyncio.timeout(10):
                    assert [line async for line in lines if "ERROR" in line] == []
            if "clusterrolebindings" in removed:
                await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "watcher"))
        assert unauthorized(await web.get(SHOP))


def _route(name: str) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
    }


async def test_questions_about_access_are_answered(plane: ControlPlane) -> None:
    token = "a-token-of-one-who-asks"
    await made(plane, USERS, user("asker", token))
    await made(plane, f"{RBAC}/namespaces/shop/rolebindings", binding("argosy:viewer", "asker", "shop"))
    authorization = "/apis/authorization.k8s.io/v1"

    def asked(kind: str, **spec: Any) -> Json:
        return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}

    get = {"verb": "get", "group": "networking.istio.io", "resource": "gateways", "namespace": "shop"}
    async with web_of(plane, token) as web:
        for attributes, allowed in (
            (get, True),
            (get | {"namespace": "x"}, False),
            (get | {"verb": "*"}, False),
        ):
            answer = await web.post(
                f"{authorization}/selfsubjectaccessreviews",
                json=asked("SelfSubjectAccessReview", resourceAttributes=attributes),
            )
            assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)
        answer = await web.post(
            f"{authorization}/selfsubjectaccessreviews",
            json=asked("SelfSubjectAccessReview", nonResourceAttributes={"verb": "get", "path": "/version"}),
        )
        assert answer.json()["status"]["allowed"]
        answer = await web.post(
            f"{authorization}/selfsubjectrulesreviews", json=asked("SelfSubjectRulesReview", namespace="shop")
        )
        status = answer.json()["status"]
        assert not status["incomplete"]
        assert {"nonResourceURLs", "verbs"} <= status["nonResourceRules"][0].keys()
        assert any("networking.istio.io" in rule["apiGroups"] for rule in status["resourceRules"])
        about = asked("SubjectAccessReview", user="asker", resourceAttributes=get)
        assert (await web.post(f"{authorization}/subjectaccessreviews", json=about)).status_code == 403
        neither = asked("SelfSubjectAccessReview")
        assert (await web.post(f"{authorization}/selfsubjectaccessreviews", json=neither)).status_code == 422
    async with admin(plane) as web:
        answer = await web.post(f"{authorization}/subjectaccessreviews", json=about)
        assert answer.json()["status"]["allowed"]
