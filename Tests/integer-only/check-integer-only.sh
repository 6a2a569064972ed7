#!/bin/sh
# The integer definitions, compiled, hold no floating-point arithmetic or conversion (x86-64); the declared float kernels,
# as the control, do. Needs clang and llvm-objdump of the Swift toolchain.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pattern='[[:space:]]v?(add|sub|mul|div|sqrt|min|max|hadd|round|cmp|ucomi|comi|fn?m(add|sub)[0-9]*|cvt[a-z0-9]*)(ss|sd|ps|pd)[[:space:]]|[[:space:]]v?cvt[a-z0-9]*|[[:space:]]f(ld|add|mul|div|ild|istp)'
found() {
  clang --target=x86_64-linux-gnu -O2 -c "$root/Sources/CKernels/integer/$1" -o "$scratch/o.o" -I"$root/Sources/CKernels/include"
  llvm-objdump -d --no-show-raw-insn "$scratch/o.o" | grep -E "$pattern" | head -5
}
for file in ck_int_reference.c ck_int_pool.c ck_int_tile_portable.c ck_int_transpose.c ck_int_wide.c \
  ck_int_wide_windows.c ck_int_sixteen.c ck_int_transposed.c; do
  hits=$(found "$file")
  if [ -n "$hits" ]; then
    echo "$file: floating-point instructions:"
    echo "$hits"
    exit 1
  fi
done
if [ -z "$(found ck_int_float32.c)" ]; then
  echo "the control found nothing: the pattern is broken"
  exit 1
fi
echo "integer definitions: no floating-point arithmetic or conversion"
