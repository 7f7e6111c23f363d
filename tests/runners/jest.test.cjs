// jest: `require()`, in the environment that the command names.

const check = require('./checks.cjs');
const halfclip = require('halfclip');

check(halfclip, (name, run) => test(name, run, 60_000), process.env.MODELS);
