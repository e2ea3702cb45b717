#!/usr/bin/env bash
# Builds the engine for browsers: JavaScript, TypeScript declarations, and WebAssembly with SIMD
# and without, in the folder $1.
#
# The compiler is rustup's, where it has the sources of std or can get them, else Debian's.
# CARGO_TARGET_DIR, or target/, keeps what was compiled.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=$1
target=wasm32-unknown-unknown
built=${CARGO_TARGET_DIR:-target}
tools=$built/tools
debian="rustc-web cargo-web rust-web-src lld-22"

fail() {
  echo "$1" >&2
  exit 1
}

command -v wasm-opt > /dev/null || fail "wasm-opt was not found: apt install binaryen, or the like"

# wasm-bindgen's program has to be of the library's version.
version=$(sed -n '/^name = "wasm-bindgen"$/ { n; s/version = "\(.*\)"/\1/p }' Cargo.lock)
if [ "$("$tools/bin/wasm-bindgen" --version 2> /dev/null)" != "wasm-bindgen $version" ]; then
  echo "==> Compiling wasm-bindgen $version (2 to 5 minutes)"
  cargo install --quiet --root "$tools" --version "$version" wasm-bindgen-cli
fi

# std is built too: the one that is given away aborts on a panic, and tract's panics are errors.
sources=lib/rustlib/src/rust/library
if [ -d "$(rustc --print sysroot)/$sources" ] || rustup component add rust-src 2> /dev/null; then
  :
elif [ -d "/usr/$sources" ] && command -v wasm-ld-22 > /dev/null; then
  export PATH=/usr/bin:$PATH CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22
else
  fail "std's sources were not found: rustup component add rust-src; on Debian apt install $debian"
fi
export RUSTC_BOOTSTRAP=1 # -Zbuild-std is not stable

compile() { # what it is called, and its target features
  echo "==> Compiling tract for browsers: $1 (the first time 5 to 10 minutes)"
  local folder=$built/browser/${1// /-}
  RUSTFLAGS="-D warnings -C panic=unwind -C target-feature=$2" cargo build --quiet --locked \
    -Zbuild-std=std,panic_unwind --package torchtract-browser --profile browser \
    --target $target --target-dir "$folder"
  # Before wasm-bindgen, whose output older versions can't read. More than -O1 takes longer to
  # download and is hardly faster.
  wasm-opt -O1 --all-features -o "$folder/optimized.wasm" \
    "$folder/$target/browser/torchtract_browser.wasm"
  "$tools/bin/wasm-bindgen" --target web --out-name engine --out-dir "$folder/package" \
    --remove-name-section --remove-producers-section "$folder/optimized.wasm"
}

compile "with SIMD" +simd128
compile "without SIMD" -simd128

rm -rf "$out"
mkdir -p "$out"
cp rust/browser/js/* "$out"
cp "$built/browser/with-SIMD/package/"engine{.js,.d.ts} "$out"
cp "$built/browser/with-SIMD/package/engine_bg.wasm" "$out/engine.wasm"
cp "$built/browser/without-SIMD/package/engine_bg.wasm" "$out/engine_scalar.wasm"
# One engine.js serves both.
cmp "$built/browser/"{with,without}-SIMD/package/engine.js
