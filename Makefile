# Two commands do everything on a machine with python3, make and git: `make demo` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?=
OUT ?= out

.PHONY: demo test lint install clean

$(VENV)/installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

install: $(VENV)/installed

demo: install
	$(BIN)/python examples/demo.py $(if $(PHOTO),--photo "$(PHOTO)") --out "$(OUT)"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(OUT)
