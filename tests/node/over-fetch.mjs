// Imported before tests (make test-over-fetch): whoever listens to undici's requests has the package use fetch().

import { subscribe } from 'node:diagnostics_channel';

subscribe('undici:request:create', () => {});
