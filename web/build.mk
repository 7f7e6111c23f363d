# The JavaScript of dist/, each module of web/ in one piece with what it imports, and the files that lie beside it. Included by the Makefile.
#
#   index.js          the module for pages, which also works where Node.js imports it by its path: then it is node.cjs
#   worker.js         a page's worker and its further threads; index.js imports from it what both need
#   node.js node.cjs  the module for Node.js, for import and for require()
#   node-worker.js    its threads
#   cli.js            the command line

BUNDLES = dist/node.js dist/node.cjs dist/node-worker.js dist/cli.js
COPIES = $(patsubst web/%,dist/%,$(shell find web/demo -type f) $(wildcard web/models/*.safetensors) web/index.d.ts) dist/index.d.cts dist/clip-merges.bin
SCRIPTS = $(shell find web -name '*.js' -not -path 'web/demo/*')

ESBUILD = node_modules/.bin/esbuild --bundle --log-level=warning --target=es2022
ESBUILD_NODE = $(ESBUILD) --platform=node --minify-syntax --inject:web/node/globals.js
# What import.meta.url is in a module that is required.
ESBUILD_CJS = $(ESBUILD_NODE) --format=cjs --define:import.meta.url=ownUrl --banner:js='const ownUrl = require("node:url").pathToFileURL(__filename).href;'

.PHONY: dist
dist: dist/index.js $(BUNDLES) $(COPIES) $(WASM_MODULES)

dist/node.js: BUNDLE = $(ESBUILD_NODE) --format=esm web/node/index.js
dist/node.cjs: BUNDLE = $(ESBUILD_CJS) web/node/index.js
dist/node-worker.js: BUNDLE = $(ESBUILD_NODE) --format=esm web/node/worker.js
dist/cli.js: BUNDLE = $(ESBUILD_NODE) --format=esm web/cli/main.js

dist/index.js dist/worker.js &: $(SCRIPTS) web/bundle.mjs node_modules/.package-lock.json
	@echo dist/index.js dist/worker.js
	@$(NODE) web/bundle.mjs dist

$(BUNDLES): $(SCRIPTS) web/build.mk node_modules/.package-lock.json
	@echo $@
	@$(BUNDLE) --outfile=$@

$(filter-out %.cts %.bin,$(COPIES)): dist/%: web/%
dist/index.d.cts: web/index.d.ts
dist/clip-merges.bin: web/text/clip-merges.bin
$(COPIES):
	@mkdir -p $(@D)
	@cp $< $@
