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
