# The JavaScript of dist/, each module of web/ in one piece with what it imports, and the files that lie beside it. Included by the Makefile.
#
#   index.js          the module for pages, which also works where Node.js imports it by its path: then it is node.cjs
#   video.js          what index.js imports when a page loads a video tower
#   kept.js           what index.js imports when a page lists or removes kept towers
#   hugging-face.js   what index.js imports when a page names a repository of transformers
#   worker.js         a page's worker and its further threads; index.js imports from it what both need
#   node.js node.cjs  the module for Node.js, for import and for require()
#   node-worker.js    its threads
#   vector-index.js   the module halfclip/index for pages; vector-index-node.js and .cjs for Node.js
#   exif.js exif.cjs  the module halfclip/exif, for pages and for Node.js
#   cli.js            the command line
#   demo-offline.js   the service worker of the page in demo/
#   langchain.js .cjs the module halfclip/langchain, which imports halfclip as any program does

SEARCHING = dist/vector-index.js dist/vector-index-node.js dist/vector-index-node.cjs dist/cli.js
BUNDLES = dist/node.js dist/node.cjs dist/node-worker.js dist/langchain.cjs dist/exif.js dist/exif.cjs $(SEARCHING)
PAGE := $(filter-out web/demo/offline.js,$(shell find web/demo -type f))
COPIES = $(patsubst web/%,dist/%,$(PAGE) $(wildcard web/models/*.safetensors web/*.d.ts)) dist/index.d.cts dist/vector-index.d.cts dist/exif.d.cts dist/clip-merges.bin $(LANGCHAIN)
LANGCHAIN = dist/langchain.js dist/langchain.d.ts dist/langchain.d.cts
SEARCH_MODULES = $(patsubst %,build/search-%.wasm,$(WASM_FLAVOURS) $(WASM_THREADED))
SCRIPTS = $(shell find web -name '*.js' -not -path 'web/demo/*')

ESBUILD = node_modules/.bin/esbuild --bundle --log-level=warning --target=es2022
# web/search has its small modules in itself.
ESBUILD_SEARCH = --loader:.wasm=binary $(foreach file,$(SEARCH_MODULES),--alias:$(notdir $(file))=./$(file))
ESBUILD_NODE = $(ESBUILD) --platform=node --minify-syntax --inject:web/node/globals.js
# What import.meta.url is in a module that is required.
ESBUILD_CJS = $(ESBUILD_NODE) --format=cjs --define:import.meta.url=ownUrl --banner:js='const ownUrl = require("node:url").pathToFileURL(__filename).href;'

.PHONY: dist
dist: dist/index.js dist/video.js dist/kept.js dist/hugging-face.js $(BUNDLES) $(COPIES) $(WASM_MODULES) dist/demo-offline.js

dist/node.js: BUNDLE = $(ESBUILD_NODE) --format=esm web/node/index.js
dist/node.cjs: BUNDLE = $(ESBUILD_CJS) web/node/index.js
dist/node-worker.js: BUNDLE = $(ESBUILD_NODE) --format=esm web/node/worker.js
dist/cli.js: BUNDLE = $(ESBUILD_NODE) --format=esm $(ESBUILD_SEARCH) web/cli/main.js
dist/langchain.cjs: BUNDLE = $(ESBUILD_NODE) --format=cjs --external:halfclip --external:@langchain/core web/neighbours/langchain.js
dist/exif.js: BUNDLE = $(ESBUILD) --minify --line-limit=200 --format=esm web/exif/index.js
dist/exif.cjs: BUNDLE = $(ESBUILD_NODE) --format=cjs web/exif/index.js
dist/vector-index.js: BUNDLE = $(ESBUILD) --minify --line-limit=200 --format=esm $(ESBUILD_SEARCH) web/page/vector-index.js
dist/vector-index-node.js: BUNDLE = $(ESBUILD_NODE) --format=esm $(ESBUILD_SEARCH) web/node/vector-index.js
dist/vector-index-node.cjs: BUNDLE = $(ESBUILD_CJS) $(ESBUILD_SEARCH) web/node/vector-index.js

dist/index.js dist/video.js dist/kept.js dist/hugging-face.js dist/worker.js &: $(SCRIPTS) web/bundle.mjs node_modules/.package-lock.json
	@echo dist/index.js dist/video.js dist/kept.js dist/hugging-face.js dist/worker.js
	@$(NODE) web/bundle.mjs dist

$(SEARCHING): $(SEARCH_MODULES)
$(BUNDLES): $(SCRIPTS) web/build.mk node_modules/.package-lock.json
	@echo $@
	@$(BUNDLE) --outfile=$@

$(filter-out %.cts %.bin $(LANGCHAIN),$(COPIES)): dist/%: web/%
$(filter-out %.cts,$(LANGCHAIN)): dist/%: web/neighbours/%
dist/langchain.d.cts: web/neighbours/langchain.d.ts
dist/index.d.cts dist/vector-index.d.cts dist/exif.d.cts: dist/%.d.cts: web/%.d.ts
dist/clip-merges.bin: web/text/clip-merges.bin
$(COPIES):
	@mkdir -p $(@D)
	@cp $< $@

# The page's service worker, with the names of what the page needs and a digest of it all.
OFFLINE = $(filter-out %.md demo/served.json,$(PAGE:web/%=%)) index.js worker.js kept.js hugging-face.js vector-index.js exif.js clip-merges.bin $(patsubst web/%,%,$(wildcard web/models/*.safetensors))
dist/demo-offline.js: web/demo/offline.js $(OFFLINE:%=dist/%) $(WASM_MODULES)
	@echo $@
	@{ printf "const VERSION = '%s';\n" $$(cat $^ | sha256sum | cut -c 1-16); \
	   printf 'const FILES = [\n'; printf "  '%s',\n" demo/ $(sort $(OFFLINE)); printf '];\n\n'; cat $<; } > $@
