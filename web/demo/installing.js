// Installs the service worker, so that the page starts without a network, and says when there is a new version of it.

/** @param {ReturnType<import('./notices.js').createNotices>} notices */
export async function installOffline(notices) {
  if (!navigator.serviceWorker) return; // not over HTTPS, nor on this machine
  const script = new URL('../demo-offline.js', import.meta.url);
  const registration = await navigator.serviceWorker.register(script).catch(() => null); // the page works without it
  if (!registration) return;

  let isTaking = false;
  navigator.serviceWorker.addEventListener('controllerchange', () => isTaking && location.reload());
  const offer = (worker) =>
    notices.show('version', 'There is a new version of this page. Pictures and models stay.', {
      action: {
        label: 'Use it',
        run() {
          isTaking = true;
          worker.postMessage('take over');
        },
      },
    });
  const isUpdate = () => navigator.serviceWorker.controller !== null;
  if (registration.waiting && isUpdate()) offer(registration.waiting);
  registration.addEventListener('updatefound', () => {
    const { installing } = registration;
    installing.addEventListener('statechange', () => {
      if (installing.state === 'installed' && isUpdate()) offer(installing);
    });
  });
}
