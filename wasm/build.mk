# The package in dist/: what lies in web/, and the WebAssembly modules halfclip-simd128.wasm (every engine with SIMD) and halfclip-relaxed.wasm (relaxed
# SIMD). Each is all of src/ and wasm/, without glue and with one import: web/wasm.js instantiates it. Included by the Makefile.

WASM_FLAVOURS = simd128 relaxed
WASM_MODULES = $(WASM_FLAVOURS:%=dist/halfclip-%.wasm)
WASM_SOURCES = $(wildcard src/*.c) $(wildcard wasm/*.c)

WASM_CFLAGS = -std=c11 -O3 -Wall -Wextra -ffp-contract=off -fno-math-errno -fvisibility=hidden -Isrc -Iwasm/include \
              -msimd128 -mbulk-memory -mnontrapping-fptoint -msign-ext
WASM_CFLAGS_relaxed = -mrelaxed-simd

# The stack lies below the data, so that an overflow traps instead of overwriting something.
WASM_LDFLAGS_BARE = --no-entry --gc-sections --strip-all --stack-first -z stack-size=524288
WASM_LDFLAGS = $(WASM_LDFLAGS_BARE) --max-memory=4294967296 $(WASM_EXPORTS:%=--export=%)

# What JavaScript calls as it stands in halfclip.h; wasm/*.c export the rest themselves.
WASM_EXPORTS = malloc realloc free hc_status_code \
               hc_loader_new hc_loader_status hc_loader_message hc_loader_header hc_loader_directory hc_loader_finish hc_loader_free \
               hc_embed_pixels hc_embed_tokens hc_encoder_config hc_encoder_vocabulary hc_encoder_set_dot hc_encoder_free \
               hc_tokenizer_new hc_tokenize hc_tokenizer_vocab_size hc_tokenizer_free

KERNELS = math norm rows epilogue gemm gemm_f32 gemm_i8 gemm_i4 attention parallel

PACKAGE_FILES := $(patsubst web/%,dist/%,$(shell find web -type f))

.PHONY: dist
dist: $(PACKAGE_FILES) $(WASM_MODULES)

$(PACKAGE_FILES): dist/%: web/%
	@mkdir -p $(@D)
	@cp $< $@

build/wasm/toolchain: wasm/toolchain.sh | build/setup
	@mkdir -p $(@D)
	sh $< > $@.new && mv $@.new $@

define WASM_RULES
build/wasm/$(1)/%.o: %.c build/wasm/toolchain wasm/build.mk
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_CC_$(1) $$(WASM_CFLAGS) $$(WASM_CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

# Without -fno-builtin the compiler would turn the loops of memset and the like into calls of themselves.
build/wasm/$(1)/wasm/libc.o: WASM_CFLAGS += -ffreestanding -fno-builtin

# The kernels alone, for tests/node/kernels.test.mjs and tests/bench/kernels.mjs.
build/kernels-$(1).wasm: build/wasm/$(1)/tests/unit/test_kernels.o $$(KERNELS:%=build/wasm/$(1)/src/%.o) build/wasm/$(1)/wasm/libc.o
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS_BARE) $$^ -o $$@

build/bench-kernels-$(1).wasm: build/wasm/$(1)/tests/bench/kernels.o $$(KERNELS:%=build/wasm/$(1)/src/%.o) build/wasm/$(1)/wasm/libc.o
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS_BARE) $$^ -o $$@

dist/halfclip-$(1).wasm: $$(WASM_SOURCES:%.c=build/wasm/$(1)/%.o)
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS) $$^ -o $$@
endef
$(foreach flavour,$(WASM_FLAVOURS),$(eval $(call WASM_RULES,$(flavour))))

-include $(foreach flavour,$(WASM_FLAVOURS),$(WASM_SOURCES:%.c=build/wasm/$(flavour)/%.d))
