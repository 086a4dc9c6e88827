"""Who manages which field: the field sets of `managedFields`, server-side apply and its conflicts. Pure functions.

    shape (of the kind) ─┬─> compare(old, new)  ─> what was added, modified, removed
                         ├─> merge(live, applied), remove(object, fields)
                         └─> field_set(applied)
    tracking.update / tracking.apply ─> the object, and the managers of its fields from then on

# Kubernetes: "Server-Side Apply"; meta/v1 ManagedFieldsEntry, FieldsV1
"""
