# Two commands to know: `make demo` runs a live mesh, `make test` runs all the tests. Each sets up what it needs.
.PHONY: demo test lint audit unit integration servers e2e test-long fuzz bench clean
PY := .venv/bin/python
ARGS ?=

demo:
	@scripts/setup run
	@exec .venv/bin/argosy demo $(ARGS)

# The checks beside the unit tests: they keep one core busy.
test:
	@scripts/setup test
	@$(MAKE) --no-print-directory -j2 lint unit
	@$(MAKE) --no-print-directory integration

lint:
	@scripts/setup test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/mypy

# Whether the packages are the locked ones, and what is known of their faults, where a database of those can be reached.
audit:
	@scripts/setup test
	scripts/audit $(ARGS)

unit:
	@scripts/setup test
	$(PY) -m pytest -q -n 4 tests/unit tests/conformance -m "not long" $(ARGS)

# Those of the servers and end to end together: they wait more than they compute.
integration:
	@scripts/setup test
	$(PY) -m pytest -q -n 5 --dist loadgroup tests/e2e tests/servers -m "not long" $(ARGS)

servers:
	@scripts/setup test
	$(PY) -m pytest -q -n 2 --dist loadgroup tests/servers -m "not long" $(ARGS)

e2e:
	@scripts/setup test
	$(PY) -m pytest -q -n 3 --dist loadgroup tests/e2e -m "not long" $(ARGS)

test-long: test
	ARGOSY_LONG=1 $(PY) -m pytest -q tests -m long --timeout 1800 $(ARGS)

# New requests each time, for SECONDS in each of its parts; what it finds is printed with its seed.
fuzz:
	@scripts/setup test
	ARGOSY_LONG=1 ARGOSY_FUZZ_SECONDS=$(or $(SECONDS),600) $(PY) -m pytest -q -s -m long tests/long/test_fuzz_api.py tests/long/test_fuzz_handlers.py $(ARGS)

bench:
	@scripts/setup test
	$(PY) -m bench $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
