version() { make --version | head -n 1 | awk '{print $3}'; }
about() { echo 'a C project of 60 files: parallel make, its own tests, a second make does nothing, a changed header rebuilds; objects and program equal those built elsewhere byte for byte'; }

project() {
  mkdir -p "$1/src"
  printf '#define VERSION 1\n' >"$1/src/version.h"
  {
    printf '#include <stdio.h>\n#include "version.h"\n'
    for i in $(seq 60); do printf 'int f%d(int);\n' "$i"; done
    printf 'int main(void) {\n  long sum = 0;\n'
    for i in $(seq 60); do printf '  sum += f%d(%d);\n' "$i" "$i"; done
    printf '  printf("version %%d sum %%ld\\n", VERSION, sum);\n  return sum == %d ? 0 : 1;\n}\n' 75640
  } >"$1/src/main.c"
  for i in $(seq 60); do
    printf 'static const int table[] = {%s 0};\nint f%d(int x) { return x * x + %d + table[%d]; }\n' \
      "$(yes '0,' | head -n 200 | tr -d '\n')" "$i" "$i" "$i" >"$1/src/f$i.c"
  done
  cat >"$1/Makefile" <<'M'
OBJ = $(patsubst src/%.c,obj/%.o,$(wildcard src/*.c))
prog: $(OBJ)
	$(CC) -o $@ $(sort $(OBJ))
obj/%.o: src/%.c src/version.h | obj
	$(CC) -O1 -c -o $@ $<
obj:
	mkdir obj
check: prog
	./prog
M
}

write() {
  project "$KEEP/native"
  make -s -C "$KEEP/native" -j2 check
  project tree
  make -s -C tree -j2 check
}

verify() {
  make -C tree prog | grep "is up to date" >/dev/null
  make -s -C tree check
  diff -r "$KEEP/native/obj" tree/obj
  cmp "$KEEP/native/prog" tree/prog
  cp -a tree changed
  sleep 0.02
  printf '#define VERSION 2\n' >changed/src/version.h
  make -s -C changed -j2 check | grep 'version 2' >/dev/null
  rm -r changed
}

corrupt() { flip tree/obj/f7.o; }
