// Ctrl-C and the like: what runs is aborted and cleans up, and then the program ends as the signal would have ended it.

const SIGNALS = ['SIGINT', 'SIGTERM']; // to hear SIGHUP would undo nohup

/**
 * Runs `work` under an AbortSignal that is aborted when the program is told to end; a second time, it ends at once.
 * @param {(signal: AbortSignal) => Promise<void>} work
 */
export async function interruptible(work) {
  const controller = new AbortController();
  let received = null;
  const stop = (name) => {
    received = name;
    forget();
    controller.abort();
  };
  const forget = () => SIGNALS.forEach((name) => process.off(name, stop));
  SIGNALS.forEach((name) => process.on(name, stop));
  try {
    await work(controller.signal);
  } catch (error) {
    if (!received) throw error;
  } finally {
    forget();
  }
  if (received) process.kill(process.pid, received);
}
