"""What watches do over any store, over these: the tests of tests/unit/apiserver with this folder's `store`."""

from tests.unit.apiserver.test_watch import *  # noqa: F403
