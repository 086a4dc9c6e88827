"""Where the kube-apiserver (1.33) answers a row otherwise than we do, and why that is meant. Each is checked to be so.

Only what has been seen on the original stands here: most rows are answered alike, these are the others.
"""

from __future__ import annotations

_NO_CONTROLLERS = (
    "alone, without its controller manager, it marks and never collects; ours has the collector in it"
)
_NO_SEMANTICS = "it knows the schema of our definitions alone: what Istio's webhook would refuse, it takes"

DIFFERENCES: dict[str, str] = {
    "test_what_it_owns_goes_with_it": _NO_CONTROLLERS,
    "test_what_it_owns_stays_as_an_orphan": _NO_CONTROLLERS,
    "test_a_namespace_is_deleted_with_what_is_in_it": _NO_CONTROLLERS,
    "test_what_the_mesh_cannot_mean_is_refused_with_field_and_reason": _NO_SEMANTICS,
    "test_a_release_that_is_refused_has_failed_and_is_mended": _NO_SEMANTICS,
    "test_an_object_waits_to_be_programmed": "nobody there programs proxies and writes the condition",
    "test_the_kinds_cannot_be_changed": "its definitions are objects like others; ours are the program's own",
    "test_explain_names_the_type_of_every_field": (
        "the schemas of custom kinds have no names there, so that explain says <Object>, and its own text differs"
    ),
    "test_a_failed_test_of_a_json_patch_says_which": (
        "it says only that the request was invalid; ours names the operation and the path"
    ),
}
"""From the name of a row to the reason."""
