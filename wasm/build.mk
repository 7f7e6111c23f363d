# The WebAssembly modules in dist/: halfclip-simd128.wasm (every engine with SIMD) and halfclip-relaxed.wasm (relaxed
# SIMD), each a second time for several threads, with shared memory, and all four again with OpenCLIP's own transformers alone (halfclip-vit-…), which is what most pages fetch. Each is all of src/ and wasm/, without glue: web/wasm/instance.js instantiates it. Included by the
# Makefile.

WASM_FLAVOURS = simd128 relaxed
WASM_THREADED = $(WASM_FLAVOURS:%=%-threads)
WASM_MODULES = $(patsubst %,dist/halfclip-%.wasm,$(WASM_FLAVOURS) $(WASM_THREADED) $(WASM_FLAVOURS:%=vit-%) $(WASM_THREADED:%=vit-%) files $(WASM_THREADED:%=calibrate-%))
WASM_SOURCES = $(wildcard src/*/*.c) $(wildcard wasm/*.c)
WASM_FILES = wasm/torch.c wasm/sha2.c
WASM_CALIBRATE = wasm/calibrate.c
# What no tower of OpenCLIP's own transformers needs.
WASM_TOOLS = wasm/tools.c wasm/texts.c

WASM_CFLAGS = -std=c11 -Wall -Wextra -ffp-contract=off -fno-math-errno -fvisibility=hidden -Isrc -Iwasm/include \
              -msimd128 -mbulk-memory -mnontrapping-fptoint -msign-ext
WASM_CFLAGS_relaxed = -mrelaxed-simd
WASM_CFLAGS_simd128-threads = -matomics -mmutable-globals
WASM_CFLAGS_relaxed-threads = -mrelaxed-simd -matomics -mmutable-globals

# The stack lies below the data, so that an overflow traps instead of overwriting something.
WASM_LDFLAGS_BARE = --lto-O2 --no-entry --gc-sections --strip-all --stack-first -z stack-size=524288
WASM_LDFLAGS = $(WASM_LDFLAGS_BARE) --max-memory=4294967296 $(WASM_EXPORTS:%=--export=%)

# The memory is JavaScript's, of at least so many bytes (SHARED_PAGES in web/wasm/interface.js); each instance sets its own stack.
WASM_LDFLAGS_THREADS = --shared-memory --import-memory --initial-memory=1048576 --export=__stack_pointer --export=hc_encoder_twin
WASM_LDFLAGS_simd128-threads = $(WASM_LDFLAGS_THREADS)
WASM_LDFLAGS_relaxed-threads = $(WASM_LDFLAGS_THREADS)

# What JavaScript calls as it stands in halfclip.h; wasm/*.c export the rest themselves.
WASM_EXPORTS = malloc realloc free hc_status_code \
               hc_loader_new hc_loader_set_image_size hc_loader_status hc_loader_message hc_loader_header hc_loader_directory hc_loader_settle hc_loader_finish hc_loader_free \
               hc_embed_begin hc_encoder_config hc_encoder_vocabulary hc_encoder_set_dot hc_encoder_free \
               hc_preprocessor_push hc_preprocessor_finish hc_preprocessor_free hc_planes_rows \
               hc_picture_reader_new hc_picture_reader_problem hc_picture_reader_read hc_picture_reader_free \
               hc_tokenizer_new hc_tokenize hc_tokenizer_vocab_size hc_tokenizer_free \
               hc_loader_set_threads hc_threads_work hc_threads_stop hc_threads_may_sleep

WASM_TOOLS_EXPORTS = hc_embed_operation hc_loader_set_temporal hc_embed_video_begin
WASM_CALIBRATE_EXPORTS = hc_calibration_new hc_calibration_status hc_calibration_message hc_calibration_add hc_calibration_step hc_calibration_choose hc_calibration_free

# The modules of src/search, which the scripts hold (web/build.mk): they have no memory to give and need little of a stack.
SEARCH_SOURCES = $(filter-out src/search/threads.c,$(wildcard src/search/*.c))
SEARCH_EXPORTS = __heap_base hc_search_prepare hc_search_score hc_search_best hc_search_sort hc_search_pairs hc_search_hash hc_search_take
SEARCH_LDFLAGS = --no-entry --gc-sections --strip-all --stack-first -z stack-size=4096 --max-memory=4294967296 $(SEARCH_EXPORTS:%=--export=%)
# The same for several threads of Node.js, which workers of the package join as they join a tower's.
SEARCH_THREADS_SOURCES = $(SEARCH_SOURCES) src/search/threads.c src/kernels/parallel.c wasm/search/pool.c
SEARCH_THREADS_LDFLAGS = $(SEARCH_LDFLAGS) --shared-memory --import-memory --initial-memory=1048576 --export=__stack_pointer --export=hc_search_find --export=hc_search_share_pairs \
                       --export=hc_threads_new --export=hc_threads_work --export=hc_threads_stop --export=hc_threads_may_sleep

# What runs for each number of a tower or a picture is compiled for speed, the rest for size.
WASM_FAST = $(filter-out src/kernels/outliers src/kernels/table src/kernels/pool src/kernels/parallel src/kernels/tensor,$(KERNELS:%=src/%)) $(filter-out src/search/pairs src/search/best src/search/hash,$(SEARCH_SOURCES:%.c=%)) src/calibrate/factor src/calibrate/gptq src/calibrate/gram src/load/pack src/load/pack_i4 src/picture/passes src/picture/planes src/picture/windows wasm/sha2 wasm/xxh64 tests/unit/test_kernels tests/bench/kernels
# Of these what counts is written as vectors already; what is small enough gains nothing from being unrolled.
WASM_FLAGS_src/load/pack = -fno-vectorize
WASM_FLAGS_src/load/pack_i4 = -fno-vectorize -fno-unroll-loops
WASM_FLAGS_src/picture/windows = -fno-vectorize -fno-slp-vectorize
WASM_FLAGS_src/picture/passes = -fno-vectorize -fno-slp-vectorize
WASM_FLAGS_src/picture/planes = -fno-vectorize -fno-slp-vectorize
WASM_FLAGS_src/kernels/levels = -fno-unroll-loops
WASM_FLAGS_src/kernels/norm = -fno-vectorize -fno-slp-vectorize
# The rest of the modules of relaxed SIMD, which are the largest that pages fetch, is optimised once more as a whole when
# they are linked, which takes 2.5 % off them. (Debian's Emscripten, which the others are made with, is of another LLVM.)
WASM_LTO_relaxed = -flto
WASM_LTO_relaxed-threads = -flto
WASM_NO_LTO = $(WASM_FAST) wasm/libc
# Loops of a known, small count are unrolled; others, which the sources unroll where it pays, would only grow.
wasm_optimisation = $(if $(filter $(WASM_FAST),$(1)),-O2 -mllvm -unroll-runtime=false $(WASM_FLAGS_$(1)),-Oz)

KERNELS = $(patsubst src/%.c,%,$(wildcard src/kernels/*.c)) base/size

build/wasm/toolchain: wasm/toolchain.sh | build/setup
	@mkdir -p $(@D)
	sh $< > $@.new && mv $@.new $@

define WASM_RULES
build/wasm/$(1)/%.o: %.c build/wasm/toolchain wasm/build.mk
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_CC_$(1:-threads=) $$(call wasm_optimisation,$$*) $$(if $$(filter $$(WASM_NO_LTO),$$*),,$$(WASM_LTO_$(1))) $$(WASM_CFLAGS) $$(WASM_CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

# Without -fno-builtin the compiler would turn the loops of memset and the like into calls of themselves.
build/wasm/$(1)/wasm/libc.o: WASM_CFLAGS += -ffreestanding -fno-builtin

# The kernels alone, for tests/node/kernels.test.mjs and tests/bench/kernels.mjs.
build/kernels-$(1).wasm: build/wasm/$(1)/tests/unit/test_kernels.o $$(KERNELS:%=build/wasm/$(1)/src/%.o) build/wasm/$(1)/wasm/libc.o
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS_BARE) $$^ -o $$@

build/bench-kernels-$(1).wasm: build/wasm/$(1)/tests/bench/kernels.o $$(KERNELS:%=build/wasm/$(1)/src/%.o) build/wasm/$(1)/wasm/libc.o
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS_BARE) $$^ -o $$@

# The towers and src/calibrate, for the command line, which takes those for several threads.
dist/halfclip-calibrate-$(1).wasm: $$(patsubst %.c,build/wasm/$(1)/%.o,$$(filter-out $$(WASM_FILES),$$(WASM_SOURCES)))
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS) $$(WASM_LDFLAGS_$(1)) $$(WASM_TOOLS_EXPORTS:%=--export=%) $$(WASM_CALIBRATE_EXPORTS:%=--export=%) $$^ -o $$@

dist/halfclip-$(1).wasm: $$(patsubst %.c,build/wasm/$(1)/%.o,$$(filter-out $$(WASM_FILES) $$(WASM_CALIBRATE),$$(WASM_SOURCES)))
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS) $$(WASM_LDFLAGS_$(1)) $$(WASM_TOOLS_EXPORTS:%=--export=%) $$^ -o $$@

# The same with OpenCLIP's own transformers alone: what a page with a ViT fetches.
build/wasm/$(1)/src/families/family-vit.o: src/families/family.c build/wasm/toolchain wasm/build.mk
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_CC_$(1:-threads=) -Oz $$(WASM_LTO_$(1)) -DHC_FAMILIES_VIT $$(WASM_CFLAGS) $$(WASM_CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

dist/halfclip-vit-$(1).wasm: $$(patsubst %.c,build/wasm/$(1)/%.o,$$(filter-out $$(WASM_FILES) $$(WASM_CALIBRATE) $$(WASM_TOOLS) src/families/family.c,$$(WASM_SOURCES))) build/wasm/$(1)/src/families/family-vit.o
	@mkdir -p $$(@D)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(WASM_LDFLAGS) $$(WASM_LDFLAGS_$(1)) $$^ -o $$@
endef
$(foreach flavour,$(WASM_FLAVOURS) $(WASM_THREADED),$(eval $(call WASM_RULES,$(flavour))))

define SEARCH_RULES
build/search-$(1).wasm: $$(SEARCH_SOURCES:%.c=build/wasm/$(1)/%.o)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(SEARCH_LDFLAGS) $$^ -o $$@

build/search-$(1)-threads.wasm: $$(SEARCH_THREADS_SOURCES:%.c=build/wasm/$(1)-threads/%.o)
	@echo $$@
	@. build/wasm/toolchain && $$$$WASM_LD $$(SEARCH_THREADS_LDFLAGS) $$^ -o $$@
endef
$(foreach flavour,$(WASM_FLAVOURS),$(eval $(call SEARCH_RULES,$(flavour))))

# The reader of PyTorch files and digests of whole files, which few pages need.
dist/halfclip-files.wasm: $(patsubst %.c,build/wasm/simd128/%.o,$(filter-out wasm/exports.c wasm/checkpoint.c $(WASM_TOOLS) $(WASM_CALIBRATE),$(WASM_SOURCES)))
	@mkdir -p $(@D)
	@echo $@
	@. build/wasm/toolchain && $$WASM_LD $(WASM_LDFLAGS_BARE) --max-memory=4294967296 --export=malloc --export=free --export=hc_status_code $^ -o $@

-include $(foreach flavour,$(WASM_FLAVOURS) $(WASM_THREADED),$(WASM_SOURCES:%.c=build/wasm/$(flavour)/%.d) build/wasm/$(flavour)/src/families/family-vit.d)
