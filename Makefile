# The commands people type. `make help` lists them; the work is done by tools/ and build_embedded.py.
#
#   PYTHON=/path/to/python3   embed this Python instead of the first that fits
#   PREFIX=/usr/local         where `make install` puts things
#   DESTDIR=                  a root to install below, for packagers
#   P11KIT_MODULES=           where to register with p11-kit; an empty value registers nowhere
#   BENCH="--counts 10"       options of the benchmark under `make bench`
#   FUZZ="-max_total_time=3600"  options of libFuzzer under `make fuzz`
#   SOAK=20                   how often longer than in `make test` under `make soak`
#   PYTEST="-k name"          more arguments for pytest under `make test`

PREFIX ?= /usr/local
DESTDIR ?=
PYTHON ?=
FUZZ ?= -max_len=4000 -len_control=0 -timeout=120
PYTEST ?=
SOAK ?= 20

LIBRARY := build/libpypkcs11.so
TO_INSTALL := build/install/libpypkcs11.so
VENV_PYTHON := .venv/bin/python
PREPARE := python3 tools/setup/prepare.py
SOURCES := build_embedded.py $(wildcard cdefs/*.h include/*.h src/embed/*.* src/embed/generated/*.*)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build demo bench fuzz test soak lint format generate install uninstall clean \
        set-up-bench set-up-build set-up-demo set-up-fuzz set-up-lint set-up-test

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: $(LIBRARY)  ## build build/libpypkcs11.so

demo: set-up-demo $(LIBRARY)  ## make keys in a fresh token, sign with them, verify with openssl
	examples/demo $(LIBRARY)

test: set-up-test lint $(LIBRARY)  ## run the linters, then every test
	$(VENV_PYTHON) -m pytest -n 2 --timeout 300 $(PYTEST)

bench: set-up-bench $(LIBRARY)  ## measure and draw cost against objects, beside SoftHSM [BENCH=]
	$(VENV_PYTHON) benchmarks/objects.py $(BENCH)
	$(VENV_PYTHON) benchmarks/draw.py build/objects.csv build/objects.svg
	@echo "drawn: build/objects.svg"

fuzz: set-up-fuzz $(LIBRARY)  ## call the library in every wrong way for a while [FUZZ=]
	@mkdir -p build/fuzz
	$(VENV_PYTHON) tests/fuzz/guided.py build/fuzz tests/fuzz/corpus $(FUZZ)

soak: set-up-test $(LIBRARY)  ## shake the library in its hosts for half an hour [SOAK=20]
	SOAK=$(SOAK) $(VENV_PYTHON) -m pytest -n 2 tests/abi/test_hosts.py tests/abi/test_python_hosts.py

lint: set-up-lint  ## ruff, mypy --strict and the import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/mypy --config-file tests/mypy.ini tests tools
	.venv/bin/lint-imports

format: set-up-lint  ## rewrite the Python files the way `make lint` wants them
	.venv/bin/ruff check --fix-only
	.venv/bin/ruff format

generate: set-up-build  ## write again what is generated from tables/
	$(VENV_PYTHON) tools/generate.py

install: $(TO_INSTALL)  ## install the library [PREFIX= DESTDIR= P11KIT_MODULES=]
	@$(VENV_PYTHON) tools/setup/install.py install $(INSTALL_OPTIONS)

uninstall: set-up-build  ## remove what `make install` put there, given the same variables
	@$(VENV_PYTHON) tools/setup/install.py uninstall $(INSTALL_OPTIONS)

clean:  ## remove everything that was built, the virtual environment too
	rm -rf build .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

INSTALL_OPTIONS = --prefix "$(PREFIX)" --destdir "$(DESTDIR)" \
                  $(if $(filter undefined,$(origin P11KIT_MODULES)),,--p11kit-modules "$(P11KIT_MODULES)")

$(LIBRARY): $(SOURCES) .venv/set-up.json
	$(VENV_PYTHON) build_embedded.py --output $@

# Unlike the one above, this one knows nothing of this checkout.
$(TO_INSTALL): $(SOURCES) .venv/set-up.json
	$(VENV_PYTHON) build_embedded.py --no-record --output $@

# The set-up decides for itself whether there is anything to do, and then leaves its record alone.
.venv/set-up.json: set-up-build
	@:

set-up-bench set-up-build set-up-demo set-up-fuzz set-up-lint set-up-test: set-up-%:
	@$(PREPARE) $* $(if $(PYTHON),--python "$(PYTHON)")
