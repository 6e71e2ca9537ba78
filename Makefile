# Two commands need nothing but Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DEMO ?= demo
# Files as units of work, in the order of tests/conftest.py: the longest first.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder
# Each worker has one core: more threads of linear algebra would wait for each other.
TEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS)

PEERS := $(VENV)-peers
READERS := $(VENV)-readers
DOCS := $(VENV)-docs
SITE = $$($(1)/bin/python -c 'import site; print(site.getsitepackages()[0])')
# Without another index this is a build for the CPU only where the index has one.
TORCH ?= torch==2.13.0

# Where this is set, as in the images of many CI services, every process compiles all modules that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Without --no-compile, pip compiles all modules of all packages, which takes longer than to install them. Most are
# never imported.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test test-slow test-peers test-clinic clinic-programs lint types docs wheel release-notes tag clean

# The environment is made once and again whenever what it is made from changes.
$(INSTALLED): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "sirtjax needs Python 3.11 or newer, this is %s: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --editable '.[dev]'
	@touch $@

# Before and after treatment: 95 % of the planned activities are delivered.
DELIVERED := 'import json, sys; rows = json.load(open(sys.argv[1]))["injections"]; print("injections = [" + ", ".join("{{ territory = \"{}\", activity_mbq = {:.0f} }}".format(row["territory"], 0.95 * row["activity_mbq"]) for row in rows) + "]")'
demo: $(INSTALLED)
	$(BIN)/sirtjax simulate --session diagnostic_ct --session spect --session y90_pet --output $(DEMO)/patient --force
	$(BIN)/sirtjax plan $(DEMO)/patient/case-uncertainty.toml --output $(DEMO)/plan --force
	@rm -rf $(DEMO)/verification
	$(BIN)/sirtjax verify $(DEMO)/patient/case-pet.toml --set "$$($(BIN)/python -c $(DELIVERED) $(DEMO)/plan/results.json)" --output $(DEMO)/verification --force || [ $$? = 1 ]
	@test -f $(DEMO)/verification/report.html
	@echo "The plan is $(abspath $(DEMO))/plan/report.html, before and after treatment $(abspath $(DEMO))/verification/report.html"

test: $(INSTALLED)
	$(TEST) --doctest-modules tests sirtjax -m "not slow and not peers and not clinic"

# MINUTES=20: tests that have not started by then are skipped and counted.
test-slow: $(INSTALLED)
	$(TEST) -m "slow and not peers and not clinic" $(if $(MINUTES),--minutes $(MINUTES))

# The environment of an extra: its packages, then those of $(VENV) and sirtjax. Not before: pip would build with them.
define ADD_EXTRA
$(PYTHON) -m venv $(1)
$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(2)"], sep="\n")' > $(1)/requirements.txt
$(1)/bin/python $(INSTALL) --requirement $(1)/requirements.txt $(3)
echo "import site; site.addsitedir('$(call SITE,$(abspath $(VENV)))')" > $(call SITE,$(1))/shared.pth
endef

# PyTorch, MONAI and nnU-Net themselves, in an environment of their own: nothing here needs them.
$(PEERS)/installed: $(INSTALLED)
	$(call ADD_EXTRA,$(PEERS),peers,$(TORCH))
	@touch $@

test-peers: $(PEERS)/installed
	$(PEERS)/bin/python -m pytest $(WORKERS) -m peers

# Programs of clinics, from Debian, and dicompyler-core, which needs an older pydicom: an environment of its own.
CLINIC_PROGRAMS := dciodvfy plastimatch storescu Orthanc dcm2niix chromium pdftoppm
CLINIC_PACKAGES := dicom3tools plastimatch dcmtk orthanc dcm2niix chromium poppler-utils
$(READERS)/installed:
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/python $(INSTALL) 'dicompyler-core==0.5.6' 'pydicom<3' 'numpy<2'
	@touch $@

$(VENV)/clinic: $(INSTALLED) pyproject.toml
	$(BIN)/python $(INSTALL) --editable '.[dev,clinic]'
	@touch $@

clinic-programs:
	@for program in $(CLINIC_PROGRAMS); do \
	  PATH=$$PATH:/usr/sbin:/sbin command -v $$program > /dev/null || missing=1; \
	done; \
	if [ -n "$$missing" ]; then \
	  apt-get update -q > /dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(CLINIC_PACKAGES) > /dev/null; \
	fi

test-clinic: $(VENV)/clinic $(READERS)/installed clinic-programs
	$(BIN)/python -m pytest $(WORKERS) -m clinic

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# The documentation site, in build/site: strict, so a broken link or an error in a tutorial ends it.
$(DOCS)/installed: $(INSTALLED)
	$(call ADD_EXTRA,$(DOCS),docs)
	@touch $@

docs: $(DOCS)/installed
	JAX_PLATFORMS=cpu NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# A wheel in a fresh environment, away from the checkout, whose console script runs.
wheel: $(INSTALLED)
	rm -rf dist build/lib build/bdist.* build/wheel-check
	mkdir -p build
	$(BIN)/python -m build --outdir dist . > build/build.log 2>&1 || { cat build/build.log; exit 1; }
	! grep -A 12 'would be ignored' build/build.log
	for file in CHANGELOG.md docs/conventions.md mkdocs.yml; do tar -tzf dist/*.tar.gz | grep -q "/$$file$$" || { echo "the sdist lacks $$file"; exit 1; }; done
	$(BIN)/python -m twine check --strict dist/*
	rm -rf build/wheel-check && $(PYTHON) -m venv build/wheel-check
	build/wheel-check/bin/python $(INSTALL) dist/*.whl
	cd build && wheel-check/bin/sirtjax --version && wheel-check/bin/sirtjax protocols > /dev/null
	cd build && wheel-check/bin/sirtjax simulate --preset small --output wheel-check/patient --force
	cd build && wheel-check/bin/sirtjax segment liver wheel-check/patient/images/spect_ct.nii.gz --modality CT --output wheel-check/liver.nii.gz --force
	cd build && wheel-check/bin/sirtjax plan wheel-check/patient/case.toml --output wheel-check/plan --force
	cd build && wheel-check/bin/sirtjax review wheel-check/plan --recompute
	cd build && wheel-check/bin/sirtjax doctor
	$(PYTHON) -m zipfile -l dist/*.whl | grep 'review/page/vendor/niivue.umd.js'

release-notes:
	@$(PYTHON) packaging/release.py

tag:
	$(PYTHON) packaging/release.py --tag

clean:
	rm -rf build dist $(DEMO) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
