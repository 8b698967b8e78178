# Few targets, each one line of meaning.
CARGO ?= cargo
prefix ?= /usr/local

.PHONY: all demo test lint docs docs-check static bench interop audit install clean

# the release build
all:
	$(CARGO) build --release --locked

# builds keyfob and runs a whole headless login against the issuer in tests/
demo:
	$(CARGO) build --locked --bin keyfob --example issuer
	bash scripts/demo.sh

# everything that must hold: format, lints, generated docs, unit, layers, end to end
test: lint docs-check
	$(CARGO) test --locked

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

# rewrites docs/providers.md from the table of providers
docs:
	$(CARGO) build --locked --bin keyfob
	bash scripts/docs.sh > docs/providers.md

docs-check:
	$(CARGO) build --locked --bin keyfob
	bash scripts/docs.sh | diff docs/providers.md - || { echo "docs/providers.md is old: run make docs"; exit 1; }

# one statically linked file, target/static/keyfob, proven by a login in an empty chroot
static:
	bash scripts/static.sh
	$(CARGO) build --locked --example issuer
	bash scripts/chroot-login.sh target/static/keyfob

# speed, memory and size, as a table
bench: all
	$(CARGO) build --locked --example issuer
	bash scripts/bench.sh

# beside programs that are not ours: OAuth servers, model APIs, Claude Code, Codex, git, kubectl, MCP
interop:
	$(CARGO) build --locked --bin keyfob --example issuer
	bash scripts/interop.sh

# the dependency tree, what is in it twice, and the size of the binary
audit: all
	$(CARGO) tree --locked -e normal
	$(CARGO) tree --locked -e normal --duplicates
	ls -l target/release/keyfob

# the binary, completions for three shells, and a man page for each command; DESTDIR and prefix as usual
install: all
	install -D -m 755 target/release/keyfob $(DESTDIR)$(prefix)/bin/keyfob
	bash scripts/install-docs.sh target/release/keyfob $(DESTDIR)$(prefix)/share

clean:
	$(CARGO) clean
	rm -rf .zig
