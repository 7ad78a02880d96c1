# Two commands do everything on a machine with python3, make and git: `make demo` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?=
OUT ?= out

.PHONY: demo serve docs test lint install clean

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Installing Python packages (PyTorch is the largest), some minutes the first time..."
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

install: $(VENV)/installed

demo: install
	$(BIN)/python examples/demo.py $(if $(PHOTO),--photo "$(PHOTO)") --out "$(OUT)"
	@echo "A page for photos: make serve"

$(VENV)/installed-serve: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[serve,usd]'
	touch $@

serve: $(VENV)/installed-serve
	$(BIN)/humanlrm serve

docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs out/docs
	$(BIN)/sphinx-build -q -W -b doctest docs out/doctest

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(OUT)
