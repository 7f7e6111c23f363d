#!/usr/bin/env node
// The command line. Each command is a file of its own; results go to standard output (JSON lines for programs),
// progress and errors to standard error.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { printable } from '../base/errors.js';
import { HalfclipError } from '../node/index.js';
import * as cache from './cache.js';
import * as embed from './embed.js';
import * as index from './index.js';
import * as inspect from './inspect.js';
import { interruptible } from './interrupt.js';
import { OptionError, UsageError } from './options.js';
import * as profile from './profile.js';
import * as rank from './rank.js';
import { FailedInputs } from './run.js';
import * as search from './search.js';
import * as serve from './serve.js';
import * as shard from './shard.js';
import { complain, print } from './terminal.js';
import * as verify from './verify.js';

const COMMANDS = { embed, rank, index, search, shard, inspect, profile, verify, cache, serve };

const HELP = `halfclip: half of CLIP, an image encoder or a text encoder, loaded alone

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  halfclip ${name.padEnd(8)} ${summary}`)
  .join('\n')}

  halfclip COMMAND --help tells the options of a command.

  halfclip embed 'a photo of a cat'
  halfclip embed --tower image --model ViT-B-32 --weights laion2b_s34b_b79k --out vectors.npy ~/Pictures
  halfclip rank --model ViT-B-32 --weights laion2b_s34b_b79k --query 'a cat on a sofa' ~/Pictures

  --help, --version
`;

async function main([command, ...rest]) {
  if (command === '--version' || command === '-v') {
    await print(JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version);
    return;
  }
  if (command === '--help' || command === '-h') {
    await print(HELP.trimEnd());
    return;
  }
  if (command === undefined) {
    process.stderr.write(HELP);
    process.exitCode = 2;
    return;
  }
  if (!Object.hasOwn(COMMANDS, command))
    throw new UsageError(`unknown command ${command}, expected ${Object.keys(COMMANDS).join(', ')}`);
  const { run, options, help } = COMMANDS[command];
  let parsed;
  try {
    parsed = parseArgs({
      args: rest,
      options: { help: { type: 'boolean', short: 'h' }, ...options },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (parsed.values.help) await print(help.trimEnd());
  else await interruptible((signal) => run(parsed.values, parsed.positionals, signal));
}

function describeError(error) {
  if (error instanceof HalfclipError) return `${error.code}: ${error.message}`;
  if (error instanceof UsageError) return `usage: ${printable(error.message)}`;
  if (error instanceof OptionError) return printable(error.message);
  return error instanceof FailedInputs ? error.message : error.stack;
}

main(process.argv.slice(2))
  .catch(async (error) => {
    await complain(describeError(error));
    process.exitCode = error instanceof UsageError ? 2 : 1;
  })
  .finally(() => process.stdin.destroy()); // of which there may be more that nobody waits for
