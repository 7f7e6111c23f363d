// Calls over a port: what one thread asks of the other, and events that come unasked.

/** Answers the calls that arrive at `port` with these methods; what they throw is thrown on the other side. */
export function answerCalls(port, methods) {
  port.addEventListener('message', async ({ data: { id, method, args } }) => {
    try {
      port.postMessage({ id, result: await methods[method](...args) });
    } catch (error) {
      const { name, message, code } = Object(error);
      port.postMessage({ id, error: { name, message: message ?? String(error), code } });
    }
  });
}

/**
 * The other side: an object whose methods are calls.
 * @param {Worker} port
 * @param {(event: string, detail: any) => void} onEvent
 */
export function callsOver(port, onEvent) {
  const waiting = new Map();
  let last = 0;
  port.addEventListener('message', ({ data }) => {
    if (data.event) return onEvent(data.event, data.detail);
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) reject(Object.assign(new Error(data.error.message), data.error));
    else resolve(data.result);
  });
  return new Proxy(
    {},
    {
      get:
        (_, method) =>
        (...args) =>
          new Promise((resolve, reject) => {
            waiting.set(++last, { resolve, reject });
            port.postMessage({ id: last, method, args });
          }),
    },
  );
}
