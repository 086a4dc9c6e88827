"""Fields that an update may not change: refused as invalid, by update and patch alike."""

from __future__ import annotations

from typing import Any

import httpx

BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings"
BINDING: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "ci", "namespace": "shop"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "developer"},
    "subjects": [{"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}],
}
OTHER_ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}


async def test_the_role_of_a_binding_stays_and_its_subjects_may_change(api: httpx.AsyncClient) -> None:
    assert (await api.post(BINDINGS, json=BINDING)).status_code == 201
    path = f"{BINDINGS}/ci"
    merge = {"Content-Type": "application/merge-patch+json"}
    for response in (
        await api.put(path, json=BINDING | {"roleRef": OTHER_ROLE}),
        await api.patch(path, json={"roleRef": OTHER_ROLE}, headers=merge),
    ):
        assert response.status_code == 422
        (cause,) = response.json()["details"]["causes"]
        assert cause["field"] == "roleRef"
    assert (await api.put(path, json=BINDING | {"subjects": []})).status_code == 200
    assert (await api.get(path)).json()["roleRef"] == BINDING["roleRef"]


SECRETS = "/api/v1/namespaces/shop/secrets"


def secret(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "shop"}, **fields}


async def test_plain_text_of_a_secret_becomes_data_by_every_way_of_writing(api: httpx.AsyncClient) -> None:
    made = (await api.post(SECRETS, json=secret(data={"a": "eA=="}, stringData={"a": "y", "b": "z"}))).json()
    assert made["data"] == {"a": "eQ==", "b": "eg=="}
    assert "stringData" not in made
    path = f"{SECRETS}/key"
    put = (await api.put(path, json=secret(stringData={"a": "x"}))).json()
    assert (put["data"], "stringData" in put) == ({"a": "eA=="}, False)
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = (await api.patch(path, json={"stringData": {"b": "z"}}, headers=merge)).json()
    assert (patched["data"], "stringData" in patched) == ({"a": "eA==", "b": "eg=="}, False)
    same = (await api.patch(path, json={"stringData": {"b": "z"}}, headers=merge)).json()
    assert same["metadata"]["resourceVersion"] == patched["metadata"]["resourceVersion"]


async def test_a_secret_with_unreadable_plain_text_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.post(SECRETS, json=secret(stringData={"a": 5}))).status_code == 422
    assert (await api.post(SECRETS, json=secret())).status_code == 201
    for wrong in (5, {"a": 5}, {"a": None}):
        assert (await api.put(f"{SECRETS}/key", json=secret(stringData=wrong))).status_code == 422


async def test_an_immutable_secret_can_only_be_deleted(api: httpx.AsyncClient) -> None:
    assert (await api.post(SECRETS, json=secret(immutable=True, stringData={"a": "x"}))).status_code == 201
    path = f"{SECRETS}/key"
    assert (await api.put(path, json=secret(immutable=True, data={"a": "eA=="}))).status_code == 200
    for change in ({"immutable": True, "stringData": {"a": "y"}}, {"data": {"a": "eA=="}}):
        assert (await api.put(path, json=secret(**change))).status_code == 422
    assert (await api.delete(path)).status_code == 200
