#!/usr/bin/env bash
# Builds target/static/keyfob: one file, statically linked with musl, that runs in an empty container.
# The first of these ways that the machine has is taken (STATIC_WAY=rustup|zig|musl-gcc picks one):
#   rustup    rustup's musl target is installed: a plain cargo build
#   zig       Debian's rustc-web builds std from source, zig (from PyPI, into .zig) brings musl and links
#   musl-gcc  the same with musl-tools and LLVM's libunwind, from apt alone
set -eu
cd "$(dirname "$0")/.."
target=$(uname -m)-unknown-linux-musl
out=target/static
build=(cargo build)

say() { echo "static: $*" >&2; }
die() { say "$@"; exit 1; }

apt_install() {
  dpkg -s "$@" >/dev/null 2>&1 && return
  command -v apt-get >/dev/null || return
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "apt-get install $*"
  $sudo apt-get install -y --no-install-recommends "$@" >&2 ||
    { $sudo apt-get update >&2 && $sudo apt-get install -y --no-install-recommends "$@" >&2; }
}

# The distribution's compiler may build std from source: it ships std's dependencies, so this needs no network.
# +crt-static and no self-contained objects: the linker named by the caller brings its own musl.
build_std() {
  apt_install rustc-web cargo-web rust-web-src || return
  export RUSTC_BOOTSTRAP=1
  RUSTC=$(dpkg -L rustc-web | grep -m1 '/bin/rustc$') CARGO=$(dpkg -L cargo-web | grep -m1 '/bin/cargo$')
  export RUSTC CARGO RUSTFLAGS="-C target-feature=+crt-static -C link-self-contained=no"
  # Without std's symboliser for backtraces: keyfob never prints one, and it is 0.2 MB.
  build_flags=("-Zbuild-std=std,panic_unwind" "-Zbuild-std-features=panic-unwind")
}

way_rustup() {
  [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ] || return
  build=(cargo build) build_flags=()
  # ring has C in it that uses no libc, so the ordinary compiler does where musl-gcc is missing.
  command -v musl-gcc >/dev/null || export "CC_${target//-/_}=${CC:-cc}"
}

way_zig() {
  build_std || return
  # Not newer: from 0.15 on zig puts an allocator of its own into musl, whose threads spin for its locks.
  # A thousand MCP calls at once took six seconds with it, and take half a second with musl's own.
  local packages="ziglang==0.14.1 cargo-zigbuild==0.24.0"
  if [ "$(cat .zig/packages 2>/dev/null)" != "$packages" ]; then
    say "$packages from PyPI into .zig (400 MB)"
    # shellcheck disable=SC2086 # two words
    { python3 -m venv .zig && .zig/bin/pip install -q $packages; } >&2 || return
    echo "$packages" >.zig/packages
  fi
  export CARGO_ZIGBUILD_PYTHON_PATH=$PWD/.zig/bin/python
  build=("$PWD/.zig/bin/cargo-zigbuild" zigbuild)
}

way_musl-gcc() {
  build_std && apt_install musl-tools libunwind-14-dev || return
  local unwind=$PWD/$out/unwind env=${target//-/_}
  mkdir -p "$unwind"
  cp "$(dpkg -L libunwind-14-dev | grep -m1 'libunwind\.a$')" "$unwind/" || return
  # Debian built libunwind with _FORTIFY_SOURCE; this is the one function of it that musl lacks.
  printf '%s\n' '#include <stdarg.h>' '#include <stdio.h>' \
    'int __fprintf_chk(FILE *f, int flag, const char *format, ...) { (void)flag;' \
    '  va_list a; va_start(a, format); int n = vfprintf(f, format, a); va_end(a); return n; }' |
    musl-gcc -O2 -c -x c -o "$unwind/chk.o" - && ar rs "$unwind/libunwind.a" "$unwind/chk.o" 2>/dev/null || return
  export "CC_$env=musl-gcc" "CARGO_TARGET_${env^^}_LINKER=musl-gcc"
  # musl-gcc ignores static-pie: without these two the result would ask for ld-musl.
  RUSTFLAGS+=" -C relocation-model=static -C link-arg=-static -L native=$unwind"
  build=("$CARGO" build)
}

build() { "${build[@]}" --profile dist --target "$target" --target-dir "$out" ${build_flags[@]+"${build_flags[@]}"} "$@" >&2; }

check_static() {
  command -v readelf >/dev/null || die "readelf is missing; try: apt-get install binutils"
  ! readelf -lW "$1" | grep -q INTERP || die "$1 asks for a dynamic loader"
  ! readelf -dW "$1" | grep NEEDED || die "$1 needs shared libraries"
}

# A wrongly linked unwinder shows at the first panic and not before, so one is tried, built by the same recipe.
check_panic() {
  local probe=$out/panic-probe
  if ! [ "$probe/main.rs" -nt Cargo.toml ] || ! [ "$probe/main.rs" -nt scripts/static.sh ]; then write_panic_probe "$probe"; fi
  build --quiet --manifest-path "$probe/Cargo.toml"
  check_static "$out/$target/dist/panic-probe"
  # With a backtrace, which walks the stack by the same unwinder.
  RUST_BACKTRACE=1 "$out/$target/dist/panic-probe" 2>"$probe/stderr" ||
    { cat "$probe/stderr" >&2; die "a panic does not unwind"; }
}

write_panic_probe() {
  mkdir -p "$1"
  {
    printf '[package]\nname = "panic-probe"\nedition = "2021"\n[[bin]]\nname = "panic-probe"\npath = "main.rs"\n[workspace]\n'
    sed -n '/^\[profile\.\(release\|dist\)\]/,/^$/p' Cargo.toml
  } >"$1/Cargo.toml"
  cat >"$1/main.rs" <<'EOF'
struct Mark<'a>(&'a std::cell::Cell<bool>);
impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
fn main() {
    let dropped = std::cell::Cell::new(false);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _mark = Mark(&dropped);
        panic!("a panic that is caught");
    }));
    let thread = std::thread::spawn(|| panic!("a panic that ends one thread")).join();
    std::process::exit(i32::from(!(caught.is_err() && thread.is_err() && dropped.get())));
}
EOF
}

for way in ${STATIC_WAY:-rustup zig musl-gcc}; do
  "way_$way" && break
  way=
done
[ "$way" ] || die "no musl toolchain; try: rustup target add $target"
say "way: $way"

build --locked --bin keyfob
check_panic
check_static "$out/$target/dist/keyfob"
size=$(stat -c %s "$out/$target/dist/keyfob")
env -i "$out/$target/dist/keyfob" --version >/dev/null || die "it does not start"
cp "$out/$target/dist/keyfob" "$out/keyfob"
say "statically linked, $size bytes, a panic unwinds"
echo "$out/keyfob"
