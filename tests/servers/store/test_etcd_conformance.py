"""What every store does, done by etcd: the tests of tests/unit/store with this folder's `store`."""

from tests.unit.store.test_conformance import *  # noqa: F403
from tests.unit.store.test_holding import *  # noqa: F403
from tests.unit.store.test_pages import *  # noqa: F403
from tests.unit.store.test_snapshot import *  # noqa: F403
from tests.unit.store.test_transfer import *  # noqa: F403
