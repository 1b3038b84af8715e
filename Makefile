# Builds, checks and installs txlb; cargo does the work. Any make will do. It makes no user and starts nothing: that is
# for packages, and for "make deb".
#
#   make                 the program, target/release/txlb
#   make static          the same without any library, and without any feature: target/static/txlb, txlb-core
#   make demo            builds it quickly and shows how it works, as "cargo demo" does
#   make image           an image for containers, of the static program: target/image
#   make check           format, lints and unit tests: about a minute, before each commit
#   make test            all tests that need no other program
#   make generate        writes anew what is made of tables and sources: completions, etc/txlb.rng, tests/public_api.txt
#   make install         program, manual pages, completions, sample; INIT=systemd or another for what starts it
#   make uninstall       takes that away again, but not configurations, nor what they have made
#   make deb             a package for Debian, in target/debian, with the static program
#   make release         what a release has, in target/release-files: static program, package, SBOM, checksums
#   make clean           removes target
#
# DESTDIR is put in front of where things go, for packagers. Where there is no repository, TXLB_COMMIT in the environment
# is the commit that "txlb -VV" tells, such as "0123456789ab of 2026-11-29".

PREFIX     = /usr/local
SBINDIR    = $(PREFIX)/sbin
DATADIR    = $(PREFIX)/share
MANDIR     = $(DATADIR)/man
DOCDIR     = $(DATADIR)/doc/txlb
SYSCONFDIR = /etc
LOGDIR     = /var/log/txlb
UNITDIR    = $(PREFIX)/lib/systemd/system
BASHDIR    = $(DATADIR)/bash-completion/completions
ZSHDIR     = $(DATADIR)/zsh/site-functions
FISHDIR    = $(DATADIR)/fish/vendor_completions.d

# What starts it: none, systemd, sysv, openrc, freebsd or smf.
INIT       = none
# What is installed as txlb; target/static/txlb for one.
PROGRAM    = target/release/txlb
CARGO      = cargo
CARGOFLAGS = --locked
STATIC     = x86_64-unknown-linux-musl
INSTALL    = install
# Panics name files of crates: not with the home of who builds.
NO_HOME    = --config "target.$(STATIC).rustflags=['--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo']"

all:
	$(CARGO) build --release $(CARGOFLAGS)

demo:
	$(CARGO) demo

# Needs "rustup target add $(STATIC)" and, for ring, musl-gcc: Debian's musl-tools.
static:
	mkdir -p target/static
	$(CARGO) build --release $(CARGOFLAGS) $(NO_HOME) --target $(STATIC) --no-default-features
	cp target/$(STATIC)/release/txlb target/static/txlb-core
	$(CARGO) build --release $(CARGOFLAGS) $(NO_HOME) --target $(STATIC)
	cp target/$(STATIC)/release/txlb target/static/txlb

image: static
	etc/container/image target/static/txlb target/image

check:
	$(CARGO) fmt --check
	$(CARGO) clippy $(CARGOFLAGS) --all-targets --all-features -- -D warnings
	$(CARGO) test $(CARGOFLAGS) --lib --bins

test:
	$(CARGO) test $(CARGOFLAGS)

generate:
	$(CARGO) run $(CARGOFLAGS) --example generate

# Needs "cargo install cargo-deb".
deb: static
	$(CARGO) deb --no-build --no-strip \
		--deb-version "$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1 | tr - '~')-1"

# The same bytes from the same commit, wherever it is built: by the same Rust and musl-gcc. Needs python3 as well. What
# is not in Git names its time itself, by SOURCE_DATE_EPOCH.
release:
	.ci/release files

# The user who installs need not be the one who builds: what is there is taken as it is.
$(PROGRAM):
	$(CARGO) build --release $(CARGOFLAGS)

install: $(PROGRAM)
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(DOCDIR) \
		$(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	for folder in $(DESTDIR)$(SYSCONFDIR)/txlb $(DESTDIR)$(LOGDIR); do test -d $$folder || $(INSTALL) -d $$folder; done
	$(INSTALL) -m 755 $(PROGRAM) $(DESTDIR)$(SBINDIR)/txlb
	$(INSTALL) -m 644 man/*.5 $(DESTDIR)$(MANDIR)/man5
	$(INSTALL) -m 644 man/*.8 $(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE etc/config.xml etc/minimal.xml etc/txlb.rng etc/alerts.yml \
		etc/grafana.json etc/keepalived/keepalived.conf etc/bird/bird.conf etc/bird/txlb-announce \
		etc/bird/txlb-announce.service doc/machines.md $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 etc/completions/txlb.bash $(DESTDIR)$(BASHDIR)/txlb
	$(INSTALL) -m 644 etc/completions/_txlb $(DESTDIR)$(ZSHDIR)/_txlb
	$(INSTALL) -m 644 etc/completions/txlb.fish $(DESTDIR)$(FISHDIR)/txlb.fish
	test -e $(DESTDIR)$(SYSCONFDIR)/txlb/config.xml || test -h $(DESTDIR)$(SYSCONFDIR)/txlb/config.xml || \
		$(INSTALL) -m 660 etc/txlb/config.xml $(DESTDIR)$(SYSCONFDIR)/txlb/config.xml
	put() { \
		$(INSTALL) -d "$$(dirname "$(DESTDIR)$$3")" && \
		sed 's,/usr\(/local\)\{0\,1\}/sbin/txlb,$(SBINDIR)/txlb,g' "$$2" > "$(DESTDIR)$$3" && \
		chmod "$$1" "$(DESTDIR)$$3"; \
	}; \
	new() { test -e "$(DESTDIR)$$3" || put "$$@"; }; \
	case $(INIT) in \
	none) ;; \
	systemd) put 644 etc/systemd/txlb.service $(UNITDIR)/txlb.service ;; \
	sysv) put 755 etc/init.d/txlb $(SYSCONFDIR)/init.d/txlb ;; \
	openrc) put 755 etc/openrc/txlb $(SYSCONFDIR)/init.d/txlb ;; \
	freebsd) put 755 etc/rc.d/txlb $(PREFIX)/etc/rc.d/txlb ;; \
	smf) put 755 etc/smf/svc-txlb /lib/svc/method/svc-txlb && \
		put 644 etc/smf/txlb.xml /lib/svc/manifest/network/txlb.xml ;; \
	*) echo 'INIT is none, systemd, sysv, openrc, freebsd or smf' >&2; exit 1 ;; \
	esac && \
	case $(INIT) in \
	systemd|sysv|openrc) \
		new 644 etc/default/txlb $(SYSCONFDIR)/default/txlb && \
		new 644 etc/logrotate.d/txlb $(SYSCONFDIR)/logrotate.d/txlb ;; \
	esac

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/txlb $(DESTDIR)$(MANDIR)/man5/txlb.xml.5 $(DESTDIR)$(MANDIR)/man8/txlb.8 \
		$(DESTDIR)$(MANDIR)/man8/txlbctl.8 $(DESTDIR)$(BASHDIR)/txlb $(DESTDIR)$(ZSHDIR)/_txlb \
		$(DESTDIR)$(FISHDIR)/txlb.fish $(DESTDIR)$(UNITDIR)/txlb.service $(DESTDIR)$(SYSCONFDIR)/init.d/txlb \
		$(DESTDIR)$(PREFIX)/etc/rc.d/txlb $(DESTDIR)/lib/svc/method/svc-txlb \
		$(DESTDIR)/lib/svc/manifest/network/txlb.xml
	rm -rf $(DESTDIR)$(DOCDIR)

clean:
	$(CARGO) clean

.PHONY: all static image demo check test generate deb release install uninstall clean
