// One tab at a time writes what is kept: it adds, embeds and removes. Others only search, until they are asked to go on.

const LOCK = 'halfclip-pictures';
/** Milliseconds after which a tab that does not answer is taken for gone. */
const PATIENCE = 2000;

/**
 * @param {object} parts
 * @param {(isWriter: boolean) => Promise<void> | void} parts.onChange  also called at first
 */
export async function createOneWriter({ onChange }) {
  const channel = new BroadcastChannel(LOCK);
  let release = () => {};

  /** Holds the lock until another tab asks for it. */
  function hold(options) {
    return new Promise((resolve) => {
      const held = navigator.locks.request(LOCK, options, (lock) => {
        resolve(lock !== null);
        return lock && new Promise((end) => (release = end));
      });
      held.catch(() => onChange(false)); // it was taken away
    });
  }

  channel.addEventListener('message', async ({ data }) => {
    if (data !== 'give' || !isWriter) return;
    isWriter = false;
    await onChange(false);
    release();
    channel.postMessage('given');
  });

  /** Asks the tab that writes to leave it to this one, and begins anew with what it has written. */
  async function take() {
    const given = new Promise((resolve) =>
      channel.addEventListener('message', ({ data }) => data === 'given' && resolve()),
    );
    channel.postMessage('give');
    await Promise.race([given, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
    location.reload();
  }

  let isWriter = true;
  if (navigator.locks) {
    isWriter = await hold({ ifAvailable: true });
    // A tab that has gone without a word leaves the lock; one that asked for it has gone by then.
    if (!isWriter && sessionStorage.getItem(LOCK) === 'taking') isWriter = await hold({ steal: true });
    sessionStorage.removeItem(LOCK);
  }
  await onChange(isWriter);
  return {
    get isWriter() {
      return isWriter;
    },
    take() {
      sessionStorage.setItem(LOCK, 'taking');
      return take();
    },
  };
}
