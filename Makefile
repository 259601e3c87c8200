# Two commands for everyone: `make demo` and `make test`. Each makes its own environment.
# The core is built three times for the tests: as it ships (release), with bounds and overflow checks under ASan and
# UBSan, counting its lines (sanitize), and under TSan (threads).

SHELL := /bin/bash -o pipefail
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; print("$(p)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
# What is imported is compiled then, and kept: of all that is installed for the tests that is a tenth.
unexport PYTHONDONTWRITEBYTECODE
EXTRAS := simulator,keyring,tokens,expect,vertex,bedrock,parquet,pandas,polars,hdrhistogram,push,sql
BIN := .venv-test/bin
PIP := -qq --disable-pip-version-check
SOURCES := pyproject.toml CMakeLists.txt README.md $(shell find src -name '*.py*' -not -name '*.pyc' -o -name '*.h' -o -name '*.c')
# One more than processors, for tests also wait.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)))
# What runs on the special builds of the core: the tests that drive it directly. Two compile programs of their own from
# its headers, with the same flags whatever was built: `unit` runs them.
CORE_TESTS := $(wildcard tests/core tests/transport) $(addprefix --ignore=tests/core/,test_core_fuzz.py test_core_headers.py)
TESTS_threads := tests/core/test_core_threads.py tests/core/test_core_reactor.py

DEFINE_sanitize := -Ccmake.define.LENS_CORE_CHECKED=ON -Ccmake.define.LENS_CORE_SANITIZE=address,undefined \
	-Ccmake.define.LENS_CORE_COVERAGE=ON
DEFINE_threads := -Ccmake.define.LENS_CORE_SANITIZE=thread
# The sanitizers want to be loaded first and to see each object; CPython itself leaks by design.
ENV_sanitize := LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc
# What it finds is printed and ends the run.
ENV_threads := LD_PRELOAD="$$($(CC) -print-file-name=libtsan.so)" TSAN_OPTIONS=halt_on_error=1
PYTEST_threads := --capture=sys
PATH_sanitize := :$(CURDIR)/tools/lazy
# pytest would rewrite the asserts of every package that brings a plugin, of this one too: it tests what is installed.
PLUGINS := --disable-plugin-autoload -p pytest_trio.plugin -p _hypothesis_pytestplugin

.PHONY: help demo test checks lint types sanitize threads unit report bench figures docs site prices faults calibration fuzz mutants audit man clean

help:
	@echo "make demo      measure the built-in simulator and print the report"
	@echo "make test      lint, types, and all tests, on the wheel as it ships"
	@echo "make unit      only the tests on the wheel as it ships"
	@echo "make sanitize  the core's tests with bounds and overflow checks, under ASan and UBSan, counting its lines"
	@echo "make threads   the core's tests with threads, under TSan"
	@echo "make bench     every claim of benchmarks/, measured"
	@echo "make figures   what it found, into README.md"
	@echo "make faults    docs/faults.md and docs/answers.md, from the tables of their tests"
	@echo "make prices    the price book, from the newest lists of the package index"
	@echo "make calibration  docs/statistics.md: what statistics keep on simulated truth (a quarter of an hour)"
	@echo "make fuzz      mangled bytes into every reader and the core, FUZZ_SECONDS each (30)"
	@echo "make mutants   a few lines broken on purpose; the tests must notice"
	@echo "make audit     known weaknesses of what is installed with this, as PyPI tells them"
	@echo "make docs      the pages of docs/, served on http://127.0.0.1:8000 and renewed as they change"
	@echo "make site      the same pages into build/site; a broken link is an error"
	@echo "make man       the manual page of lll, from its help"
	@echo "make clean     remove what these made"

demo: .venv/installed
	.venv/bin/lll benchmark --provider simulator -n 64 -c 16

# The core is built, three times, while all else is fetched, which mostly waits. Then what needs one processor runs beside
# the tests of the wheel, whose summary closes the output.
test: .venv-test/tools
	@$(MAKE) --no-print-directory -j 3 .venv-test/packages build/release/wheel build/{sanitize,threads}/installed
	@$(MAKE) --no-print-directory build/counted/installed
	@$(MAKE) --no-print-directory -j 2 unit checks
	@$(MAKE) --no-print-directory report
	@tail -n 1 build/unit.log

# Told when all are done: the tests of the wheel write meanwhile.
checks:
	@$(MAKE) --no-print-directory --output-sync=target lint types sanitize threads >build/checks.log 2>&1; \
	code=$$?; cat build/checks.log; exit $$code

.venv/bin/python .venv-test/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found; name one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)
	@# An old one needs three times as long to choose among all versions.
	$(@D)/pip install $(PIP) --no-compile --upgrade pip

.venv/installed: $(SOURCES) | .venv/bin/python
	.venv/bin/pip install $(PIP) '.[simulator]'
	@touch $@

# What builds the core.
.venv-test/tools: pyproject.toml tools/requirements.py | $(BIN)/python
	$(BIN)/python tools/requirements.py build | $(BIN)/pip install $(PIP) --no-compile -r /dev/stdin cmake ninja
	@touch $@

# All else that is imported in the tests.
.venv-test/packages: pyproject.toml tools/requirements.py | .venv-test/tools
	$(BIN)/python tools/requirements.py test sdks | $(BIN)/pip install $(PIP) --no-compile -r /dev/stdin
	@touch $@

build/release/wheel: $(SOURCES) | .venv-test/tools
	@rm -rf build/release
	$(BIN)/pip wheel $(PIP) --no-deps --no-build-isolation -w build/release .
	@ls build/release/*.whl > $@

.venv-test/installed: build/release/wheel .venv-test/packages
	$(BIN)/pip install $(PIP) --no-compile --force-reinstall --no-deps "$$(cat $<)"
	@touch $@

lint: .venv-test/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs src packaging deploy tools
	@if [ -x $(BIN)/actionlint ]; then PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/actionlint .github/workflows/*.yml; \
	else echo "actionlint: no wheel for this machine"; fi

# The library as its users check it too, by both checkers.
types: .venv-test/installed
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error tests/typed_api.py

# A special build of the core, in a folder that comes before the installed one on the path.
build/%/installed: $(SOURCES) | .venv-test/tools
	@rm -rf build/$*/site
	$(BIN)/pip install $(PIP) --no-deps --no-build-isolation --no-compile --target build/$*/site -Cbuild-dir=build/$*/cmake $(DEFINE_$*) .
	@touch $@

sanitize threads: %: build/%/installed .venv-test/installed
	@find build/$* -name '*.gcda' -delete
	PYTHONPATH=$(CURDIR)/build/$*/site$(PATH_$*) LENS_TEST_BUILD=$* $(ENV_$*) $(BIN)/python -m pytest -q $(PLUGINS) $(PYTEST_$*) $(or $(TESTS_$*),$(CORE_TESTS))

# A copy of what is installed, with probes among the statements of Python.
build/counted/installed: .venv-test/installed tools/count_lines.py tools/counters/ran_lines.py
	$(BIN)/python -I tools/count_lines.py build/counted
	@touch $@

# Each worker would rewrite the asserts of all test files, and find out what Hypothesis knows of characters; once is enough.
build/rewritten: | build/counted/installed
	@$(BIN)/python -c 'from hypothesis.strategies import text; text().validate()'
	@PYTHONPATH=$(CURDIR)/build/counted/site $(BIN)/python -m pytest $(PLUGINS) --collect-only -qq >/dev/null || true
	@touch $@

unit: build/counted/installed build/rewritten
	@rm -f build/counted/ran/*
	PYTHONPATH=$(CURDIR)/build/counted/site LENS_TEST_BUILD=release $(BIN)/python -m pytest $(PLUGINS) -p xdist.plugin \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder 2>&1 | tee build/unit.log

report:
	$(BIN)/python tools/coverage_report.py build/counted build/sanitize/cmake

docs: .venv-test/installed
	$(BIN)/mkdocs serve

site: .venv-test/installed
	$(BIN)/mkdocs build --strict

man: .venv-test/installed
	$(BIN)/python tools/man_page.py share/man/man1

faults: .venv-test/installed
	$(BIN)/python tests/faults/fault_table.py > docs/faults.md
	$(BIN)/python tests/providers/failure_table.py > docs/answers.md

prices: .venv-test/installed
	$(BIN)/python tools/make_prices.py --renew build/prices

# A quarter of an hour at most; fails where a statement does not keep what it says.
calibration: .venv-test/installed
	@mkdir -p build
	$(BIN)/python tools/calibration.py | tee build/statistics.md
	@cp build/statistics.md docs/statistics.md

fuzz: .venv-test/installed
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),30) $(BIN)/python -m pytest -q -n auto tests/fuzz tests/core/test_core_fuzz.py

mutants: .venv-test/installed
	$(BIN)/python tools/mutants.py

# In an environment of its own: only what a user gets beside this, extras included.
audit: build/release/wheel
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/pip install $(PIP) pip-audit; }
	@rm -rf build/audited && $(PYTHON) -m venv build/audited
	build/audited/bin/pip install $(PIP) "$$(cat $<)[$(EXTRAS)]"
	build/audited/bin/pip uninstall -q -y llm-latency-lens
	build/audit/bin/pip-audit --strict --path "$$(echo build/audited/lib/python*/site-packages)"

bench: .venv-test/installed
	$(BIN)/python benchmarks/run.py

figures: .venv-test/installed
	$(BIN)/python tools/readme_figures.py

clean:
	rm -rf build .venv .venv-test .mypy_cache .pytest_cache .ruff_cache .hypothesis
