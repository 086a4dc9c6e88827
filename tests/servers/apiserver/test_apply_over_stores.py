"""What server-side apply does over any store, over these: the tests of tests/unit/apiserver with our `store`."""

from tests.unit.apiserver.test_apply import *  # noqa: F403
