// jest with its modules: `import`, in the environment that the command names.

import * as halfclip from 'halfclip';

import check from './checks.cjs';

check(halfclip, (name, run) => test(name, run, 60_000), process.env.MODELS);
