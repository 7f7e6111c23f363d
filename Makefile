# Everything is made from here: the package (dist/), its tests, the demo, the benchmarks.
#
#   make          the package in dist/: both WebAssembly flavours, the module, the bundled model, the demo page
#   make demo     finds pictures by words with one tower loaded at a time, over HTTP
#   make test     builds and runs every test
#   make format   lays out the code as the tests expect
#   make test-bundlers  also apps of Parcel, Next.js, esbuild, Rollup and workerd
#   make test-neighbours  LangChain.js, LanceDB, DuckDB, pgvector, Qdrant and Spark with this package; installs them into build/neighbours
#   make start    serves the demo page
#   make test-page-large  the page with 10,000 pictures
#   make test-firefox  the page and the package in Firefox; make test has the main sentences of both
#   make lib      build/libhalfclip.a, for C programs (with src/halfclip.h)
#   make bench    times the kernels, and towers of MODELS against onnxruntime: build/bench.json, build/bench.svg
#   make fuzz     fuzzes every parser, and what talks to servers, for FUZZ_SECONDS each
#
# What a machine lacks (compilers, Chromium, npm's packages) is installed by the first command that needs it, see wasm/setup.sh.

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:

CLANG ?= clang-19
CLANG_FORMAT ?= clang-format-19
NODE ?= node
FUZZ_SECONDS ?= 600
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Werror
CFLAGS := -std=c11 -ffp-contract=off $(WARNINGS)
# Tests run the SSE4.1 kernels where there are some; results are the same bits on every machine.
SIMD := $(if $(filter x86_64,$(shell uname -m)),-msse4.1)
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SRC := $(wildcard src/*/*.c)
HEADERS := $(wildcard src/*.h src/*/*.h src/*/*.inc)
# The library is for this machine. (The warning is about some virtual machines' lists of features.)
NATIVE_FLAGS ?= -march=native -Wno-invalid-feature-combination

.PHONY: all
all: dist

include wasm/build.mk
include web/build.mk

# ---- the demo's pictures ----------------------------------------------------------------------------------------------------

# The demo page's sample pictures; the page reads their names from index.txt.
PICTURES := $(patsubst tests/pictures/%,dist/demo/pictures/%,$(wildcard tests/pictures/*))
dist: $(PICTURES) dist/demo/pictures/index.txt

$(PICTURES): dist/demo/pictures/%: tests/pictures/%
	@mkdir -p $(@D)
	@cp $< $@

dist/demo/pictures/index.txt: $(PICTURES)
	@mkdir -p $(@D)
	@printf '%s\n' $(sort $(notdir $(PICTURES))) > $@

build/wasm/toolchain: | build/setup

# ---- what the machine needs -----------------------------------------------------------------------------------------

build/setup: wasm/setup.sh
	@mkdir -p build
	bash wasm/setup.sh
	@touch $@

node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

# ---- native ---------------------------------------------------------------------------------------------------------

NATIVE := $(SRC:src/%.c=build/native/%.o)
$(NATIVE): build/native/%.o: src/%.c $(HEADERS) | build/setup
	@mkdir -p $(@D)
	@echo cc $@
	@$(CLANG) $(CFLAGS) -O3 $(NATIVE_FLAGS) -Isrc -c $< -o $@

.PHONY: lib
lib: build/libhalfclip.a
build/libhalfclip.a: $(NATIVE)
	rm -f $@
	ar rcs $@ $^

# ---- C unit tests, under AddressSanitizer and UBSan ------------------------------------------------------------------

UNIT_FLAGS_test_out_of_memory := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
UNIT_FLAGS_test_torch := $(UNIT_FLAGS_test_out_of_memory)
UNIT_FLAGS_test_pictures := $(UNIT_FLAGS_test_out_of_memory)
UNITS := $(patsubst tests/unit/%.c,build/unit/%,$(wildcard tests/unit/test_*.c))
SANITIZED := $(SRC:src/%.c=build/sanitized/%.o)
$(SANITIZED): build/sanitized/%.o: src/%.c $(HEADERS) | build/setup
	@mkdir -p $(@D)
	@echo cc $@
	@$(CLANG) $(CFLAGS) $(SANITIZE) $(SIMD) -Isrc -c $< -o $@

$(UNITS): build/unit/%: tests/unit/%.c $(wildcard tests/unit/*.h) $(SANITIZED)
	@mkdir -p $(@D)
	@echo cc $@
	@$(CLANG) $(CFLAGS) $(SANITIZE) $(SIMD) -Isrc -Itests/unit $(UNIT_FLAGS_$*) $< $(SANITIZED) -lm -pthread -o $@

# The kernels once more with all instructions that this machine has, and threads under ThreadSanitizer.
KERNEL_SRC := $(KERNELS:%=src/%.c)
UNITS += build/unit/test_kernels_here build/unit/test_parallel_races
build/unit/test_kernels_here: UNIT_FLAGS := -O2 $(NATIVE_FLAGS)
build/unit/test_kernels_here: tests/unit/test_kernels.c
build/unit/test_parallel_races: UNIT_FLAGS := -O1 -g -fsanitize=thread $(SIMD)
build/unit/test_parallel_races: tests/unit/test_parallel.c
build/unit/test_kernels_here build/unit/test_parallel_races: $(wildcard tests/unit/*.h) $(KERNEL_SRC) $(HEADERS) | build/setup
	@mkdir -p $(@D)
	@echo cc $@
	@$(CLANG) $(CFLAGS) $(UNIT_FLAGS) -Isrc -Itests/unit $(filter %.c,$^) -lm -pthread -o $@

.PHONY: test-unit
test-unit: $(UNITS) test-32
	@set -e; for unit in $(UNITS); do ./$$unit; done

# The library in 32 bits, where sizes wrap, must end as it does in 64. Where a program for 32 bits cannot be linked
# the WebAssembly modules alone are tested so, in tests/node/extreme.test.mjs.
.PHONY: test-32
test-32: build/unit/extreme.jsonl $(SRC) $(HEADERS)
	@echo 'int main(void) { return 0; }' > build/unit/links.c
	@if ! $(CLANG) -m32 build/unit/links.c -lm -pthread -o build/unit/links 2>/dev/null; then \
	    echo 'test-32: skipped, this machine links no programs for 32 bits (Debian: libc6-dev-i386 and lib32gcc-12-dev)'; exit 0; \
	fi; set -e; \
	$(CLANG) $(CFLAGS) -O1 -m32 $(if $(SIMD),-msse4.1) -Isrc -Itests/unit tests/unit/test_extreme.c $(SRC) -lm -pthread -o build/unit/test_extreme_32; \
	build/unit/test_extreme_32 list > build/unit/extreme-32.jsonl; \
	diff <(grep '"huge":0' build/unit/extreme.jsonl) <(grep '"huge":0' build/unit/extreme-32.jsonl)

build/unit/extreme.jsonl: build/unit/test_extreme
	@$< list > $@

# ---- fuzzers --------------------------------------------------------------------------------------------------------

FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZED := $(SRC:src/%.c=build/fuzzed/%.o)
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all $(SIMD)
$(FUZZED): build/fuzzed/%.o: src/%.c $(HEADERS) | build/setup
	@mkdir -p $(@D)
	@echo cc $@
	@$(CLANG) $(CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -Isrc -c $< -o $@

$(FUZZERS): build/fuzz/%: tests/fuzz/%.c tests/unit/made_up.h tests/unit/sparse.h $(FUZZED)
	@mkdir -p $(@D)
	@echo cc $@
	@$(CLANG) $(CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer -Isrc $< $(FUZZED) -lm -pthread -o $@

# A fuzzer starts from its committed corpus and keeps what it finds under build/.
define fuzz
@set -e; for fuzzer in $(FUZZERS); do \
    name=$$(basename $$fuzzer); mkdir -p build/corpus/$$name; corpus=; \
    [ ! -d tests/fuzz/corpus/$$name ] || corpus=tests/fuzz/corpus/$$name; \
    echo "$$name: $(1) s"; \
    ./$$fuzzer -max_total_time=$(1) -rss_limit_mb=2048 -timeout=10 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix=build/corpus/$$name- build/corpus/$$name $$corpus 2>&1 | grep -E 'number_of_executed|ERROR|SUMMARY|Test unit' ; \
    [ $${PIPESTATUS[0]} -eq 0 ]; \
done
endef

.PHONY: test-fuzz fuzz
test-fuzz: $(FUZZERS)
	$(call fuzz,3)
fuzz: $(FUZZERS) dist
	$(call fuzz,$(FUZZ_SECONDS))
	HALFCLIP_SECONDS=$(FUZZ_SECONDS) HALFCLIP_SEED=$$(date +%s) $(NODE) --test --test-reporter=spec tests/node/hostile.test.mjs tests/node/hostile-index.test.mjs

# ---- JavaScript and browser tests ------------------------------------------------------------------------------------

# The page with as many pictures as an album has; 1,000 of them are in test-browser.
.PHONY: test-page-large
test-page-large: dist build/setup node_modules/.package-lock.json
	HALFCLIP_PICTURES=10000 $(NODE) --test --test-reporter=spec tests/browser/demo-large.test.mjs

# Files of tests run beside each other on all processors, where Node.js would leave one free: the first versions of 20
# cannot be told.
.PHONY: test-node test-over-fetch test-browser test-runners test-apps test-bundlers test-neighbours test
test-node: dist $(WASM_FLAVOURS:%=build/kernels-%.wasm) build/unit/extreme.jsonl build/setup node_modules/.package-lock.json
	$(NODE) --test $$($(NODE) --help | grep -q test-concurrency && echo --test-concurrency=$$(nproc)) --test-reporter=spec 'tests/node/'*.test.mjs
	"$$($(NODE) tests/newest-node.mjs)" --test --test-reporter=spec tests/node/{simd,kernels,golden,emoji,vector-index}.test.mjs

# What servers and networks do once more with Node.js's fetch() in place of its http.
OVER_FETCH = faults random-faults hostile hub own-fetch range cache cache-faults cache-part sources file-urls
test-over-fetch: dist build/setup node_modules/.package-lock.json
	$(NODE) --import ./tests/node/over-fetch.mjs --test --test-reporter=spec $(OVER_FETCH:%=tests/node/%.test.mjs)

test-browser: dist build/setup node_modules/.package-lock.json
	$(NODE) --test --test-reporter=spec 'tests/browser/'*.test.mjs
	@$(call in_firefox,--test-name-pattern='/^($(FIREFOX_SENTENCES))/')

# The same tests in Firefox. What they cannot ask of it (a quota, what lies under transparent pixels without WebGL) they leave out.
IN_FIREFOX := demo demo-clips demo-kept demo-offline demo-selection demo-sentences package vector-index videos
FIREFOX_SENTENCES := all of it by keyboard|a picture opens large|by a picture|a folder by the chooser|a clip is found|several are selected by keyboard|after a reload|of two tabs|installed, it starts|groups, the nearest|both towers agree with OpenCLIP, relaxed, in a worker|callWorker, int8|the vector of a file
define in_firefox
if $(NODE) tests/browser/firefox.mjs; then BROWSER=firefox $(NODE) --test --test-reporter=spec $(1) $(patsubst %,tests/browser/%.test.mjs,$(IN_FIREFOX)); else echo 'Tests in Firefox are skipped.'; fi
endef

.PHONY: test-firefox
test-firefox: IN_FIREFOX += cache-part demo-models demo-served demo-views
test-firefox: dist build/setup node_modules/.package-lock.json
	@$(call in_firefox,)

# Apps of Vite and webpack; then those of other bundlers and hosts, which take longer to install.
test-apps: dist build/setup node_modules/.package-lock.json
	$(NODE) --test --test-reporter=spec tests/bundlers/bundlers.test.mjs

test-bundlers: test-apps
	$(NODE) --test --test-reporter=spec tests/bundlers/more/more.test.mjs

# What its vectors are put into: databases, and Spark in Python with Java; installs a gigabyte.
test-neighbours: dist build/setup node_modules/.package-lock.json
	$(NODE) --test --test-reporter=spec tests/neighbours/neighbours.test.mjs

# The package inside vitest and jest, which are installed into build/runners.
test-runners: dist build/setup node_modules/.package-lock.json
	$(NODE) --test --test-reporter=spec tests/runners/runners.test.mjs

# The layout of the code, as .clang-format and .prettierrc say.
C_FILES := src/halfclip.h $(wildcard src/*/*.[ch] tests/unit/*.[ch] tests/fuzz/*.c tests/bench/*.c wasm/*.c)
.PHONY: test-format format
test-format: build/setup node_modules/.package-lock.json
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)
	@node_modules/.bin/prettier --check --log-level=warn .
format: build/setup node_modules/.package-lock.json
	@$(CLANG_FORMAT) -i $(C_FILES)
	@node_modules/.bin/prettier --write --log-level=warn .

# What tests need is compiled on all processors at once; the tests themselves run one after the other.
.PHONY: compiled
compiled:
	@$(MAKE) --no-print-directory -j$$(nproc) dist $(UNITS) $(FUZZERS) $(WASM_FLAVOURS:%=build/kernels-%.wasm)

test: compiled test-format test-unit test-fuzz test-node test-runners test-browser test-apps

# ---- demo, server, benchmarks ------------------------------------------------------------------------------------------

.PHONY: demo start bench accuracy clean
demo: dist node_modules/.package-lock.json
	$(NODE) tests/demo.mjs

start: dist
	$(NODE) dist/cli.js serve

# MODELS: names of architectures. Towers of timm's and Hugging Face's classes need weights-tools/requirements.txt (PYTHON).
MODELS ?= ViT-B-32 ViT-B-16 ViT-L-14 RN50
bench: dist $(WASM_FLAVOURS:%=build/bench-kernels-%.wasm) build/setup node_modules/.package-lock.json
	$(NODE) tests/bench/kernels.mjs
	$(NODE) tests/bench/search.mjs
	$(NODE) tests/bench/search-command.mjs
	"$$($(NODE) tests/newest-node.mjs)" tests/bench/files.mjs
	"$$($(NODE) tests/newest-node.mjs)" tests/bench/peers.mjs $(MODELS)

# What quantisation leaves of trained towers and of the bundled one, into the tables of src/README.md. Takes ten minutes,
# Python with what weights-tools/requirements.txt lists, and packages that ship trained weights.
PYTHON ?= python3
accuracy: dist
	$(PYTHON) weights-tools/trained_towers.py build/trained
	$(PYTHON) weights-tools/trained_timm.py build/trained
	$(NODE) tests/trained.mjs build/trained
	$(NODE) tests/trained.mjs --write
	$(NODE) tests/accuracy.mjs --write

clean:
	rm -rf build dist
