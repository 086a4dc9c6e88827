"""What the verbs do over any store, over these: the tests of tests/unit/apiserver with this folder's `store`."""

from tests.unit.apiserver.test_collector import *  # noqa: F403
from tests.unit.apiserver.test_deleting import *  # noqa: F403
from tests.unit.apiserver.test_objects import *  # noqa: F403
from tests.unit.apiserver.test_paging import *  # noqa: F403
from tests.unit.apiserver.test_refusals import *  # noqa: F403
